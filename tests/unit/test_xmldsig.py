"""XMLDSig: what is accepted, and that each missing, broken or forbidden signature is refused."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from lxml import etree
from signxml.algorithms import CanonicalizationMethod, DigestAlgorithm, SignatureMethod
from signxml.signer import XMLSigner
from signxml.verifier import SignatureConfiguration, XMLVerifier

from fixtures.pki import Identity, Pki, Variant
from gateway import xml
from gateway.adapters import xmldsig, xmldsig_form
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
    same,
    sent,
    signed,
    signed_again,
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


@pytest.mark.parametrize("salt", [0, 20, 48, padding.PSS.MAX_LENGTH])
def test_a_salt_of_another_length_than_the_method_says_is_refused(
    sender: Identity, salt: int
) -> None:
    tree = signed(sender, method=SignatureMethod.SHA256_RSA_MGF1)
    scheme = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=salt)

    assert refused(signed_again(tree, sender, scheme), sender) == (
        Code.HANDTEKENING_ONGELDIG,
        "waarde",
    )


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
        [xmldsig_form.ENVELOPED],
        [EXCLUSIVE.value],
        [EXCLUSIVE.value, xmldsig_form.ENVELOPED],
        [xmldsig_form.ENVELOPED, EXCLUSIVE.value, EXCLUSIVE.value],
        [xmldsig_form.ENVELOPED, f"{EXCLUSIVE.value}WithComments"],
        [xmldsig_form.ENVELOPED, "http://www.w3.org/2000/09/xmldsig#base64"],
        [xmldsig_form.ENVELOPED, "http://www.w3.org/TR/1999/REC-xpath-19991116"],
        [xmldsig_form.ENVELOPED, "http://www.w3.org/TR/1999/REC-xslt-19991116"],
        [xmldsig_form.ENVELOPED, "http://www.w3.org/2002/06/xmldsig-filter2"],
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


# The parts that nobody computes with


@pytest.mark.parametrize(
    "hint",
    [
        "<ds:KeyName>sleutel &amp; naam</ds:KeyName>",
        "tekst die er mag staan",
        (
            "<ds:KeyValue>\n<ds:RSAKeyValue><ds:Modulus>QUJD</ds:Modulus>"
            "<ds:Exponent>AQ AB</ds:Exponent></ds:RSAKeyValue></ds:KeyValue>"
        ),
        "<ds:X509Data><ds:X509SubjectName>CN=x</ds:X509SubjectName></ds:X509Data>",
        (
            "<ds:X509Data><ds:X509IssuerSerial><ds:X509IssuerName>CN=x</ds:X509IssuerName>"
            "<ds:X509SerialNumber>12</ds:X509SerialNumber></ds:X509IssuerSerial>"
            "<ds:X509SKI>QUJD</ds:X509SKI><ds:X509CRL>QUJD</ds:X509CRL></ds:X509Data>"
        ),
    ],
)
def test_hints_beside_the_certificate_may_be_there(sender: Identity, hint: str) -> None:
    content, _ = checked(_with_hint(signed(sender), hint), sender)

    assert same(content, a_tree())


@pytest.mark.parametrize(
    "hint",
    [
        "<ds:X509Data>tekst</ds:X509Data>",
        "<ds:X509Data/>" + "<ds:KeyName Id='a'/>",
        "<ds:X509Data><ds:KeyName/></ds:X509Data>",
        "<ds:X509Data><ds:X509SKI>QUJDQ</ds:X509SKI></ds:X509Data>",
        "<ds:X509Data><ds:X509SubjectName URI=''>CN=x</ds:X509SubjectName></ds:X509Data>",
        (
            "<ds:X509Data><ds:X509IssuerSerial><ds:X509SerialNumber>1</ds:X509SerialNumber>"
            "</ds:X509IssuerSerial></ds:X509Data>"
        ),
        (
            "<ds:X509Data><ds:X509IssuerSerial><ds:X509IssuerName/><ds:X509SerialNumber>een"
            "</ds:X509SerialNumber></ds:X509IssuerSerial></ds:X509Data>"
        ),
        "<ds:KeyName><ds:KeyName/></ds:KeyName>",
        "<ds:KeyValue/>",
        (
            "<ds:KeyValue><ds:RSAKeyValue>x<ds:Modulus>QUJD</ds:Modulus>"
            "<ds:Exponent>AQAB</ds:Exponent></ds:RSAKeyValue></ds:KeyValue>"
        ),
        (
            "<ds:KeyValue><ds:RSAKeyValue><ds:Exponent>AQAB</ds:Exponent>"
            "<ds:Modulus>QUJD</ds:Modulus></ds:RSAKeyValue></ds:KeyValue>"
        ),
    ],
)
def test_a_hint_that_the_schema_of_xmldsig_does_not_know_is_refused(
    sender: Identity, hint: str
) -> None:
    tree = _with_hint(signed(sender), hint)

    assert refused(tree, sender) == (Code.HANDTEKENING_ONGELDIG, "kern")


def _with_hint(tree: etree._Element, hint: str) -> etree._Element:
    made = etree.fromstring(f'<ds:KeyInfo xmlns:ds="{DS}">{hint}</ds:KeyInfo>')
    made.append(the(tree, "X509Data"))
    the(tree, "Signature").replace(the(tree, "KeyInfo"), made)
    return tree


@pytest.mark.parametrize("name", ["Signature", "SignedInfo", "Reference", "Transforms", "X509Data"])
def test_text_between_the_parts_of_a_signature_is_refused(sender: Identity, name: str) -> None:
    before, after = signed(sender), signed(sender)
    the(before, name).text = "\u00a0"
    the(after, name)[0].tail = "999999.00"

    for tree in (before, after):
        assert refused(signed_again(tree, sender), sender) == (Code.HANDTEKENING_ONGELDIG, "kern")


def test_white_space_between_the_parts_of_a_signature_is_no_mistake(sender: Identity) -> None:
    tree = signed(sender)
    for element in the(tree, "Signature").iter():
        if len(element):
            element.text = "\n\t "
            element[0].tail = "\n"

    content, _ = checked(signed_again(tree, sender), sender)

    assert same(content, a_tree())


@pytest.mark.parametrize(
    ("name", "attribute", "text"),
    [
        ("Signature", "Id", "1"),
        ("Signature", "URI", ""),
        ("SignedInfo", "Algorithm", "x"),
        ("SignatureMethod", "Id", "x"),
        ("Reference", "Id", "a b"),
        ("Transforms", "Id", "x"),
        ("DigestValue", "Id", "x"),
        ("SignatureValue", "Type", "x"),
        ("X509Certificate", "Id", "x"),
    ],
)
def test_an_attribute_that_the_schema_of_xmldsig_does_not_know_is_refused(
    sender: Identity, name: str, attribute: str, text: str
) -> None:
    tree = signed(sender)
    the(tree, name).set(attribute, text)

    assert refused(signed_again(tree, sender), sender) == (Code.HANDTEKENING_ONGELDIG, "kern")


def test_ids_on_the_parts_that_may_have_one_are_no_mistake(sender: Identity) -> None:
    tree = signed(sender)
    for name in ("Signature", "SignedInfo", "Reference", "SignatureValue", "KeyInfo"):
        the(tree, name).set("Id", f"id-{name}.é")

    content, _ = checked(signed_again(tree, sender), sender)

    assert same(content, a_tree())


# The libraries


def test_an_elliptic_value_of_another_length_than_the_key_is_refused(pki: Pki) -> None:
    identity = pki.party("00000099000000001000", Variant.ELLIPTIC)
    tree = signed(identity, method=SignatureMethod.ECDSA_SHA256)
    value = base64.b64decode(the(tree, "SignatureValue").text)

    for other in (
        b"\0" + value,
        value[1:],
        value + b"\0\0",
        b"\0" * 64,
        value[:32] + b"\0" + value[32:],
        value[32:] + value[:32],
    ):
        the(tree, "SignatureValue").text = base64.b64encode(other).decode()
        assert refused(tree, identity) == (Code.HANDTEKENING_ONGELDIG, "waarde")


def signed_at(index: int, tail: str, sender: Identity) -> etree._Element:
    tree = a_tree()
    place = etree.Element(f"{{{DS}}}Signature", Id="placeholder")
    place.tail = tail
    tree.insert(index, place)
    return XMLSigner(c14n_algorithm=EXCLUSIVE).sign(tree, key=sender.key, cert=[sender.cert])


@pytest.mark.parametrize("index", [0, 1, 3])
def test_white_space_after_the_signature_is_part_of_what_was_signed(
    sender: Identity, index: int
) -> None:
    tree = signed_at(index, "\n\n  ", sender)

    content, _ = checked(tree, sender)

    assert b"\n\n  " in etree.tostring(content)
    the(tree, "Signature").tail = "\n  "
    assert refused(tree, sender) == (Code.HANDTEKENING_ONGELDIG, "digest")


@pytest.mark.parametrize("index", [0, 1, 3])
def test_text_after_the_signature_is_part_of_what_was_signed(sender: Identity, index: int) -> None:
    tree = signed_at(index, " staartje ", sender)

    # not held against signxml, which cannot read a signature with text after it
    content, _ = xmldsig.check(sent(tree), trusting(sender))

    assert etree.tostring(content).count(b" staartje ") == 1
    the(tree, "Signature").tail = " ander staartje "
    assert refused(tree, sender) == (Code.HANDTEKENING_ONGELDIG, "digest")


@pytest.mark.parametrize(
    "aside", [etree.Comment(" - "), etree.PI("betaal", "meer")], ids=["comment", "instruction"]
)
def test_what_the_canonical_form_may_leave_out_is_refused_by_the_check_too(
    sender: Identity, aside: etree._Element
) -> None:
    tree = a_tree()
    tree.insert(1, aside)
    whole = XMLSigner(c14n_algorithm=EXCLUSIVE).sign(tree, key=sender.key, cert=[sender.cert])

    assert core_valid(whole, sender) is not None
    assert refused(whole, sender) == (Code.HANDTEKENING_POSITIE, "dekking")


def test_a_document_type_is_refused_by_the_check_too(sender: Identity) -> None:
    body = b"<!DOCTYPE Kennisgeving>" + etree.tostring(signed(sender))

    with pytest.raises(Refusal) as caught:
        xmldsig.check(etree.fromstring(body), trusting(sender))

    assert caught.value.code is Code.HANDTEKENING_POSITIE


def test_a_signature_over_nothing_but_an_empty_root_is_refused(sender: Identity) -> None:
    empty = etree.fromstring(f'<Kennisgeving xmlns="{NAMESPACE}">tekst</Kennisgeving>')
    whole = XMLSigner(c14n_algorithm=EXCLUSIVE).sign(empty, key=sender.key, cert=[sender.cert])

    assert refused(whole, sender) == (Code.HANDTEKENING_POSITIE, "dekking")


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


def test_nothing_logs_what_is_canonicalised(sender: Identity, everything_logged: list[str]) -> None:
    tree = signed(sender)

    checked(tree, sender)

    assert not [line for line in everything_logged if BSN in line]
