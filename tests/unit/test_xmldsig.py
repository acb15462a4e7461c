"""XMLDSig: what is accepted, and that every attack is refused by position or algorithm.

The wrapping attacks are XSW1 to XSW8 as published for SAML, adapted to an enveloped
signature. Each is first shown to satisfy the mathematics when nobody looks at position.
"""

from __future__ import annotations

import base64
import copy
import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from lxml import etree
from signxml.algorithms import CanonicalizationMethod, DigestAlgorithm, SignatureMethod
from signxml.signer import XMLSigner
from signxml.verifier import SignatureConfiguration, XMLVerifier

from fixtures.pki import Identity, Pki, Variant
from gateway import xml
from gateway.adapters import xmldsig
from gateway.errors import Code, Finding, Refusal
from gateway.routing.directory import Certificate
from gateway.verify import Proof

NAMESPACE = "urn:nld:schuldhulp-gateway:schuldregeling:v2"
DS = "http://www.w3.org/2000/09/xmldsig#"
EXCLUSIVE = CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0
BSN = "999990019"


@pytest.fixture(scope="session")
def sender(pki: Pki) -> Identity:
    return pki.party("00000099000000001000")


@pytest.fixture(scope="session")
def stranger(pki: Pki) -> Identity:
    return pki.party("00000099000000009990", Variant.UNKNOWN)


def a_tree(amount: str = "100.00") -> etree._Element:
    return etree.fromstring(
        f'<Kennisgeving xmlns="{NAMESPACE}"><Afzender>é</Afzender>'
        f"<Bsn>{BSN}</Bsn>\n<Bedrag>{amount}</Bedrag></Kennisgeving>".encode()
    )


class Signer(XMLSigner):
    """The library's signer, which may also do what nobody should."""

    def check_deprecated_methods(self) -> None:
        """SHA-1 is what we want to see refused."""


def signed(
    identity: Identity,
    *,
    method: SignatureMethod = SignatureMethod.RSA_SHA256,
    digest: DigestAlgorithm = DigestAlgorithm.SHA256,
    c14n: CanonicalizationMethod = EXCLUSIVE,
    **options: Any,
) -> etree._Element:
    signer = Signer(signature_algorithm=method, digest_algorithm=digest, c14n_algorithm=c14n)
    options = {"key": identity.key, "cert": [identity.cert], **options}
    return signer.sign(a_tree(), **options)


def trusting(*identities: Identity) -> Callable[[str], Certificate]:
    register = {identity.registered.fingerprint: identity.registered for identity in identities}

    def trust(fingerprint: str) -> Certificate:
        if fingerprint not in register:
            raise Refusal(Code.CERTIFICAAT_ONBEKEND, Finding("register", ""))
        return register[fingerprint]

    return trust


def sent(tree: etree._Element) -> etree._Element:
    """As the door would get it, but without the parser's own rules: one guard at a time."""
    return etree.fromstring(etree.tostring(tree, xml_declaration=True, encoding="UTF-8"))


def checked(tree: etree._Element, *known: Identity) -> tuple[etree._Element, Proof]:
    return xmldsig.check(sent(tree), trusting(*known))


def refused(tree: etree._Element, *known: Identity) -> tuple[Code, str]:
    with pytest.raises(Refusal) as caught:
        checked(tree, *known)
    (finding,) = caught.value.findings
    assert BSN not in repr(caught.value.findings)
    return caught.value.code, finding.rule


def the(tree: etree._Element, name: str) -> etree._Element:
    return next(tree.iter(f"{{{DS}}}{name}"))


def core_valid(tree: etree._Element, identity: Identity) -> etree._Element | None:
    """What a verifier sees that does the mathematics and does not look at position."""
    everything = SignatureConfiguration(
        location=".//",
        signature_methods=frozenset(SignatureMethod),
        digest_algorithms=frozenset(DigestAlgorithm),
    )
    result = XMLVerifier().verify(sent(tree), x509_cert=identity.cert, expect_config=everything)
    assert not isinstance(result, list)
    return result.signed_xml


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


def test_a_doubled_signature_is_refused(sender: Identity) -> None:
    tree = signed(sender)
    tree.append(copy.deepcopy(the(tree, "Signature")))

    assert core_valid(signed(sender), sender) is not None
    assert refused(tree, sender) == (Code.HANDTEKENING_POSITIE, "aantal")


def test_two_signatures_of_two_parties_are_refused(sender: Identity, stranger: Identity) -> None:
    tree = signed(sender)
    tree.insert(0, the(signed(stranger), "Signature"))

    assert refused(tree, sender, stranger) == (Code.HANDTEKENING_POSITIE, "aantal")


def test_a_signature_deeper_than_the_root_is_refused(sender: Identity) -> None:
    tree = signed(sender)
    tree[0].append(the(tree, "Signature"))

    assert core_valid(tree, sender) is not None
    assert refused(tree, sender) == (Code.HANDTEKENING_POSITIE, "plaats")


def test_a_signature_around_the_message_is_refused(sender: Identity) -> None:
    tree = signed(sender)
    signature = the(tree, "Signature")
    holder = etree.SubElement(signature, f"{{{DS}}}Object")
    tree.remove(signature)
    holder.append(tree)

    assert refused(signature, sender) == (Code.HANDTEKENING_POSITIE, "plaats")


def test_a_whole_signed_message_inside_another_is_refused(sender: Identity) -> None:
    outer = a_tree("999999.00")
    outer.append(signed(sender))

    assert refused(outer, sender) == (Code.HANDTEKENING_POSITIE, "plaats")


# Signature wrapping


def _genuine(sender: Identity) -> tuple[str, str, str]:
    """A message signed by reference to its own Id: whole, without, and its signature."""
    tree = a_tree()
    tree.set("Id", "echt")
    tree = XMLSigner(c14n_algorithm=EXCLUSIVE).sign(tree, key=sender.key, cert=[sender.cert])
    assert the(tree, "Reference").get("URI") == "#echt"
    whole: str = etree.tostring(tree).decode()
    begin, end = whole.index("<ds:Signature "), whole.index("</ds:Signature>")
    end += len("</ds:Signature>")
    return whole, whole[:begin] + whole[end:], whole[begin:end]


def _forged(inside: str = "") -> str:
    tree = a_tree("999999.00")
    tree.set("Id", "vals")
    written: str = etree.tostring(tree).decode()
    return written.replace("</Kennisgeving>", inside + "</Kennisgeving>")


def _root(inside: str) -> str:
    return f'<Kennisgeving xmlns="{NAMESPACE}">{inside}</Kennisgeving>'


def _around(signature: str, content: str) -> str:
    return signature.replace("</ds:Signature>", content + "</ds:Signature>")


# (whole, without, signature) of the genuine message, to the attack.
WRAPPINGS: dict[str, Callable[[str, str, str], str]] = {
    "XSW1": lambda _, bare, signature: _forged(_around(signature, bare)),
    "XSW2": lambda _, bare, signature: _forged(bare + signature),
    "XSW3": lambda whole, *_: _root(_forged() + whole),
    "XSW4": lambda whole, *_: _root(_forged(whole)),
    "XSW5": lambda _, bare, signature: _root(_forged(signature) + bare),
    "XSW6": lambda _, bare, signature: _root(_forged(_around(signature, bare))),
    "XSW7": lambda whole, *_: _root(f"<Extensions>{_forged()}</Extensions>" + whole),
    "XSW8": lambda _, bare, signature: _forged(
        _around(signature, f"<ds:Object>{bare}</ds:Object>")
    ),
}


@pytest.mark.parametrize("name", WRAPPINGS)
def test_a_wrapped_signature_is_core_valid_and_refused_by_position(
    sender: Identity, name: str
) -> None:
    attack = etree.fromstring(WRAPPINGS[name](*_genuine(sender)))

    seen = core_valid_unchecked(attack, sender)

    assert seen is not None
    assert seen.findtext(f"{{{NAMESPACE}}}Bedrag") == "100.00"
    assert b"999999.00" in etree.tostring(attack)
    assert refused(attack, sender)[0] is Code.HANDTEKENING_POSITIE
    with pytest.raises(Refusal):
        xml.parse(etree.tostring(attack))  # nor would the parser let an Id pass


def core_valid_unchecked(tree: etree._Element, identity: Identity) -> etree._Element | None:
    result = XMLVerifier().verify(
        sent(tree),
        x509_cert=identity.cert,
        validate_schema=False,
        expect_config=SignatureConfiguration(location=".//"),
    )
    assert not isinstance(result, list)
    return result.signed_xml


def test_a_reference_to_an_id_is_refused_even_when_it_covers_the_root(sender: Identity) -> None:
    genuine = etree.fromstring(_genuine(sender)[0])

    assert core_valid(genuine, sender) is not None
    assert refused(genuine, sender) == (Code.HANDTEKENING_POSITIE, "verwijzing")


def test_a_second_reference_is_refused(sender: Identity) -> None:
    tree = signed(sender)
    the(tree, "SignedInfo").append(copy.deepcopy(the(tree, "Reference")))

    assert refused(tree, sender) == (Code.HANDTEKENING_POSITIE, "aantal-verwijzingen")


def test_a_second_signed_info_is_refused(sender: Identity) -> None:
    tree = signed(sender)
    the(tree, "Signature").insert(0, copy.deepcopy(the(tree, "SignedInfo")))

    assert refused(tree, sender) == (Code.HANDTEKENING_POSITIE, "onderdelen")


def test_an_object_inside_the_signature_is_refused(sender: Identity) -> None:
    tree = signed(sender)
    etree.SubElement(the(tree, "Signature"), f"{{{DS}}}Object").append(a_tree("9.00"))

    assert core_valid(tree, sender) is not None
    assert refused(tree, sender) == (Code.HANDTEKENING_POSITIE, "onderdelen")


# Comments and instructions: the mathematics does not see them, so the parser does


def test_a_comment_in_the_signed_part_is_core_valid_and_refused(sender: Identity) -> None:
    body = xmldsig.sign_xml(a_tree(), sender.key, sender.cert)
    split = body.replace(b"100.00", b"100<!-- -->.00")

    assert core_valid(etree.fromstring(split), sender) is not None
    with pytest.raises(Refusal) as caught:
        xml.parse(split)
    assert caught.value.code is Code.XML_ONGELDIG


def test_an_instruction_in_the_signed_part_is_refused(sender: Identity) -> None:
    tree = a_tree()
    tree.insert(0, etree.PI("betaal", "meer"))
    body = xmldsig.sign_xml(tree, sender.key, sender.cert)

    assert core_valid(etree.fromstring(body), sender) is not None
    with pytest.raises(Refusal):
        xml.parse(body)


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
