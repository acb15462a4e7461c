"""XMLDSig: what is accepted, and that each missing, broken or forbidden signature is refused."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from lxml import etree
from signxml.algorithms import CanonicalizationMethod, DigestAlgorithm, SignatureMethod
from signxml.verifier import SignatureConfiguration, XMLVerifier

from fixtures.pki import Identity, Pki, Variant
from gateway import xml
from gateway.adapters import xmldsig
from gateway.errors import Code, Refusal
from gateway.routing.directory import Certificate
from gateway.verify import Proof
from tests.unit.signing import (
    BSN,
    DS,
    EXCLUSIVE,
    NAMESPACE,
    a_tree,
    checked,
    core_valid,
    refused,
    sent,
    signed,
    the,
    trusting,
)


@pytest.fixture(scope="session")
def sender(pki: Pki) -> Identity:
    return pki.party("00000099000000001000")


@pytest.fixture(scope="session")
def stranger(pki: Pki) -> Identity:
    return pki.party("00000099000000009990", Variant.UNKNOWN)


# What is accepted


@pytest.mark.parametrize(
    ("method", "digest", "variant"),
    [
        (SignatureMethod.RSA_SHA256, DigestAlgorithm.SHA256, Variant.GOOD),
        (SignatureMethod.RSA_SHA384, DigestAlgorithm.SHA384, Variant.GOOD),
        (SignatureMethod.RSA_SHA512, DigestAlgorithm.SHA512, Variant.GOOD),
        (SignatureMethod.SHA256_RSA_MGF1, DigestAlgorithm.SHA256, Variant.GOOD),
        (SignatureMethod.SHA384_RSA_MGF1, DigestAlgorithm.SHA256, Variant.GOOD),
        (SignatureMethod.SHA512_RSA_MGF1, DigestAlgorithm.SHA256, Variant.GOOD),
        (SignatureMethod.ECDSA_SHA256, DigestAlgorithm.SHA256, Variant.ELLIPTIC),
        (SignatureMethod.ECDSA_SHA384, DigestAlgorithm.SHA384, Variant.ELLIPTIC_384),
        (SignatureMethod.ECDSA_SHA512, DigestAlgorithm.SHA512, Variant.ELLIPTIC),
    ],
)
def test_each_allowed_algorithm_is_accepted(
    pki: Pki, method: SignatureMethod, digest: DigestAlgorithm, variant: Variant
) -> None:
    identity = pki.party("00000099000000001000", variant)

    content, proof = checked(signed(identity, method=method, digest=digest), identity)

    assert etree.tostring(content, method="c14n") == etree.tostring(a_tree(), method="c14n")
    assert proof == Proof(identity.registered.fingerprint, method.value)


@pytest.mark.parametrize("variant", [Variant.GOOD, Variant.ELLIPTIC])
def test_what_the_gateway_signs_passes_parser_and_check(pki: Pki, variant: Variant) -> None:
    identity = pki.party("00000099000000001000", variant)
    tree = a_tree()

    body = xmldsig.sign_xml(tree, identity.key, identity.cert)
    content, _ = xmldsig.check(xml.parse(body), trusting(identity))

    assert body.startswith(b"<?xml version='1.0' encoding='UTF-8'?>")
    assert etree.tostring(content) == etree.tostring(tree) == etree.tostring(a_tree())


def test_the_signed_content_keeps_the_lines_of_what_was_sent(sender: Identity) -> None:
    body = xmldsig.sign_xml(a_tree(), sender.key, sender.cert)
    shifted = body.replace(b"<Kennisgeving ", b"\n\n<Kennisgeving\n\n  ")

    content, _ = xmldsig.check(xml.parse(shifted), trusting(sender))

    lines = shifted[: shifted.index(b"<Bedrag>")].count(b"\n") + 1
    assert content.find(f"{{{NAMESPACE}}}Bedrag").sourceline == lines


def test_a_key_value_beside_the_certificate_is_only_a_hint(
    sender: Identity, stranger: Identity
) -> None:
    tree = signed(sender, always_add_key_value=True)
    foreign = signed(stranger, always_add_key_value=True)
    the(tree, "KeyInfo").replace(the(tree, "KeyValue"), the(foreign, "KeyValue"))

    _, proof = checked(tree, sender)

    assert proof.fingerprint == sender.registered.fingerprint


# Missing, broken, doubled


def test_a_message_without_a_signature_is_refused(sender: Identity) -> None:
    assert refused(a_tree(), sender) == (Code.HANDTEKENING_ONTBREEKT, "ontbreekt")


@pytest.mark.parametrize(
    ("name", "rule"), [("SignatureValue", "waarde"), ("DigestValue", "waarde")]
)
def test_another_value_of_the_right_length_is_refused(
    sender: Identity, name: str, rule: str
) -> None:
    tree = signed(sender)
    value = base64.b64decode(the(tree, name).text)
    the(tree, name).text = base64.b64encode(value[:-1] + bytes([value[-1] ^ 1])).decode()

    assert refused(tree, sender) == (Code.HANDTEKENING_ONGELDIG, rule)


@pytest.mark.parametrize("text", ["", " ", "####", "QQ", "QUJD", "A" * 9000])
@pytest.mark.parametrize("name", ["SignatureValue", "DigestValue"])
def test_a_value_that_cannot_be_one_is_refused(sender: Identity, name: str, text: str) -> None:
    tree = signed(sender)
    the(tree, name).text = text

    assert refused(tree, sender)[0] is Code.HANDTEKENING_ONGELDIG


def test_changed_content_is_refused(sender: Identity) -> None:
    tree = signed(sender)
    tree.find(f"{{{NAMESPACE}}}Bedrag").text = "999999.00"

    assert refused(tree, sender) == (Code.HANDTEKENING_ONGELDIG, "digest")


# Algorithms


def test_sha1_is_core_valid_and_refused(sender: Identity) -> None:
    method = signed(sender, method=SignatureMethod.RSA_SHA1)
    digest = signed(sender, digest=DigestAlgorithm.SHA1)

    assert core_valid(method, sender) is not None
    assert core_valid(digest, sender) is not None
    assert refused(method, sender) == (Code.ALGORITME_VERBODEN, "handtekening")
    assert refused(digest, sender) == (Code.ALGORITME_VERBODEN, "digest")


def test_an_hmac_with_the_public_key_as_its_secret_is_refused(sender: Identity) -> None:
    secret = sender.cert.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    tree = signed(sender, method=SignatureMethod.HMAC_SHA256, key=secret, cert=None)
    key_info = etree.SubElement(the(tree, "Signature"), f"{{{DS}}}KeyInfo")
    key_info.append(the(signed(sender), "X509Data"))

    assert refused(tree, sender) == (Code.ALGORITME_VERBODEN, "handtekening")


@pytest.mark.parametrize(
    "algorithm",
    [
        "",
        "http://www.w3.org/2000/09/xmldsig#dsa-sha1",
        "http://www.w3.org/2009/xmldsig11#dsa-sha256",
        "http://www.w3.org/2001/04/xmldsig-more#rsa-md5",
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha224",
        "http://www.w3.org/2001/04/xmldsig-more#hmac-sha512",
        "http://www.w3.org/2001/04/xmldsig-more#RSA-SHA256",
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256 ",
        "http://www.w3.org/2007/05/xmldsig-more#rsa-pss",
        "urn:onbekend",
    ],
)
def test_a_signature_method_outside_the_list_is_refused(sender: Identity, algorithm: str) -> None:
    tree = signed(sender)
    the(tree, "SignatureMethod").set("Algorithm", algorithm)

    assert refused(tree, sender) == (Code.ALGORITME_VERBODEN, "handtekening")


@pytest.mark.parametrize(
    "c14n",
    [
        CanonicalizationMethod.CANONICAL_XML_1_0,
        CanonicalizationMethod.CANONICAL_XML_1_1,
        CanonicalizationMethod.CANONICAL_XML_1_0_WITH_COMMENTS,
        CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0_WITH_COMMENTS,
    ],
)
def test_another_canonicalisation_is_core_valid_and_refused(
    sender: Identity, c14n: CanonicalizationMethod
) -> None:
    tree = signed(sender, c14n=c14n)

    assert core_valid(tree, sender) is not None
    assert refused(tree, sender) == (Code.ALGORITME_VERBODEN, "canonicalisatie")


@pytest.mark.parametrize(
    "algorithms",
    [
        [],
        [xmldsig.ENVELOPED],
        [EXCLUSIVE.value],
        [EXCLUSIVE.value, xmldsig.ENVELOPED],
        [xmldsig.ENVELOPED, EXCLUSIVE.value, EXCLUSIVE.value],
        [xmldsig.ENVELOPED, f"{EXCLUSIVE.value}WithComments"],
        [xmldsig.ENVELOPED, "http://www.w3.org/2000/09/xmldsig#base64"],
        [xmldsig.ENVELOPED, "http://www.w3.org/TR/1999/REC-xpath-19991116"],
        [xmldsig.ENVELOPED, "http://www.w3.org/TR/1999/REC-xslt-19991116"],
        [xmldsig.ENVELOPED, "http://www.w3.org/2002/06/xmldsig-filter2"],
    ],
)
def test_any_other_transforms_are_refused(sender: Identity, algorithms: list[str]) -> None:
    tree = signed(sender)
    transforms = the(tree, "Transforms")
    for step in list(transforms):
        transforms.remove(step)
    for algorithm in algorithms:
        etree.SubElement(transforms, f"{{{DS}}}Transform", Algorithm=algorithm)

    assert refused(tree, sender) == (Code.ALGORITME_VERBODEN, "transformatie")


@pytest.mark.parametrize(
    ("name", "parameter", "rule"),
    [
        ("SignatureMethod", "HMACOutputLength", "handtekening"),
        ("Transform", "XPath", "transformatie"),
        ("CanonicalizationMethod", "InclusiveNamespaces", "canonicalisatie"),
        ("DigestMethod", "Iets", "digest"),
    ],
)
def test_an_algorithm_with_a_parameter_is_refused(
    sender: Identity, name: str, parameter: str, rule: str
) -> None:
    tree = signed(sender)
    etree.SubElement(the(tree, name), f"{{{DS}}}{parameter}").text = "1"

    assert refused(tree, sender) == (Code.ALGORITME_VERBODEN, rule)


def test_a_method_of_another_kind_of_key_than_the_registered_is_refused(
    pki: Pki, sender: Identity
) -> None:
    elliptic = pki.party("00000099000000001000", Variant.ELLIPTIC)
    tree = signed(sender)
    the(tree, "KeyInfo").replace(
        the(tree, "X509Data"),
        the(signed(elliptic, method=SignatureMethod.ECDSA_SHA256), "X509Data"),
    )

    assert refused(tree, sender, elliptic)[0] is Code.HANDTEKENING_ONGELDIG


# Certificates


def test_a_signature_with_a_key_value_only_is_core_valid_and_refused(sender: Identity) -> None:
    tree = signed(sender, cert=None)
    anybody = SignatureConfiguration(require_x509=False)

    XMLVerifier().verify(sent(tree), expect_config=anybody)
    assert refused(tree, sender) == (Code.CERTIFICAAT_ONBEKEND, "geen-certificaat")


def test_a_signature_without_key_info_is_refused(sender: Identity) -> None:
    tree = signed(sender)
    the(tree, "Signature").remove(the(tree, "KeyInfo"))

    assert refused(tree, sender) == (Code.CERTIFICAAT_ONBEKEND, "geen-certificaat")


def test_two_certificates_are_refused(sender: Identity, stranger: Identity) -> None:
    tree = signed(sender, cert=[sender.cert, stranger.cert])

    assert refused(tree, sender, stranger) == (Code.CERTIFICAAT_ONBEKEND, "aantal-certificaten")


@pytest.mark.parametrize("text", ["", "####", "QUJD"])
def test_a_certificate_that_cannot_be_one_is_refused(sender: Identity, text: str) -> None:
    tree = signed(sender)
    the(tree, "X509Certificate").text = text

    assert refused(tree, sender)[0] is Code.CERTIFICAAT_ONBEKEND


def test_somebody_elses_certificate_beside_ones_own_signature_is_refused(
    sender: Identity, stranger: Identity
) -> None:
    tree = signed(stranger)
    the(tree, "KeyInfo").replace(the(tree, "X509Data"), the(signed(sender), "X509Data"))

    assert refused(tree, sender) == (Code.HANDTEKENING_ONGELDIG, "waarde")


def test_a_stranger_is_refused_before_anything_is_computed(stranger: Identity) -> None:
    tree = signed(stranger)
    # Canonicalisation cannot survive this: a relative namespace makes it fail.
    etree.SubElement(tree, "{relatief}A")

    assert refused(tree) == (Code.CERTIFICAAT_ONBEKEND, "register")
    assert refused(tree, stranger) == (Code.HANDTEKENING_ONGELDIG, "kern")


def test_a_register_that_holds_another_certificate_than_it_says_is_not_believed(
    sender: Identity, stranger: Identity
) -> None:
    register = sender.registered
    confused = Certificate(
        register.fingerprint,
        stranger.pem,
        register.not_before,
        register.not_after,
        signs=True,
    )

    with pytest.raises(Refusal) as caught:
        xmldsig.check(sent(signed(sender)), lambda _: confused)

    assert caught.value.code is Code.CERTIFICAAT_ONGESCHIKT


def test_the_library_judges_no_validity_by_its_own_clock(pki: Pki) -> None:
    # Whether it is valid is for trust to say, at the time of receipt.
    expired = pki.party("00000099000000001000", Variant.EXPIRED)

    _, proof = checked(signed(expired), expired)

    assert proof.fingerprint == expired.registered.fingerprint
    assert expired.registered.not_after - expired.registered.not_before > timedelta(days=1)


# The library


@pytest.fixture
def everything_logged() -> Iterator[list[str]]:
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    root, handler = logging.getLogger(), Keep()
    level = root.level
    root.setLevel(logging.DEBUG)
    root.addHandler(handler)
    yield lines
    root.removeHandler(handler)
    root.setLevel(level)


def test_the_library_does_not_log_what_it_canonicalises(
    sender: Identity, everything_logged: list[str]
) -> None:
    tree = signed(sender)

    checked(tree, sender)

    assert not [line for line in everything_logged if BSN in line]
