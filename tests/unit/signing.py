"""Signs made-up messages in every way, also the wrong ones, without our own code."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.padding import AsymmetricPadding
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree
from signxml.algorithms import CanonicalizationMethod, DigestAlgorithm, SignatureMethod
from signxml.signer import XMLSigner
from signxml.verifier import SignatureConfiguration, XMLVerifier

from fixtures.pki import Identity
from gateway.adapters import xmldsig
from gateway.adapters.xmldsig_form import DIGESTS, METHODS
from gateway.errors import Code, Finding, Refusal
from gateway.routing.directory import Certificate
from gateway.verify import Proof

NAMESPACE = "urn:nld:schuldhulp-gateway:schuldregeling:v2"
DS = "http://www.w3.org/2000/09/xmldsig#"
EXCLUSIVE = CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0
BSN = "999990019"

# At DEBUG the library prints what it canonicalises, and the suite lets no BSN into a log.
logging.getLogger("signxml").setLevel(logging.CRITICAL)


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
    """What the gateway makes of it; the mathematics are held against another library's."""
    other = [by_signxml(sent(tree), each) for each in known if _named(tree, each)]
    try:
        content, proof = xmldsig.check(sent(tree), trusting(*known))
    except Refusal as refusal:
        if refusal.code is Code.HANDTEKENING_ONGELDIG:
            assert not any(each is not None for each in other)
        raise
    assert any(each is not None and same(content, each) for each in other)
    return content, proof


def refused(tree: etree._Element, *known: Identity) -> tuple[Code, str]:
    with pytest.raises(Refusal) as caught:
        checked(tree, *known)
    (finding,) = caught.value.findings
    assert BSN not in repr(caught.value.findings)
    return caught.value.code, finding.rule


def the(tree: etree._Element, name: str) -> etree._Element:
    return next(tree.iter(f"{{{DS}}}{name}"))


def _named(tree: etree._Element, identity: Identity) -> bool:
    der = base64.b64encode(identity.cert.public_bytes(Encoding.DER)).decode()
    return any(
        der == "".join((each.text or "").split()) for each in tree.iter(f"{{{DS}}}X509Certificate")
    )


def by_signxml(document: etree._Element, identity: Identity) -> etree._Element | None:
    """What signxml digested, parsed again, where it holds to our algorithms; else None."""
    policy = SignatureConfiguration(
        require_x509=True,
        location="./",
        signature_methods=frozenset(map(SignatureMethod, METHODS)),
        digest_algorithms=frozenset(map(DigestAlgorithm, DIGESTS)),
        ignore_ambiguous_key_info=True,
        verification_time=identity.registered.not_before,
        default_reference_c14n_method=EXCLUSIVE,
    )
    try:
        result = XMLVerifier().verify(document, x509_cert=identity.cert, expect_config=policy)
    except Exception:  # noqa: BLE001 - of many kinds, and here every one of them is a no
        return None
    assert not isinstance(result, list)
    return result.signed_xml


def same(one: etree._Element, other: etree._Element) -> bool:
    """Whether nobody who reads names, attributes and text can tell two trees apart."""
    return (
        one.tag == other.tag
        and dict(one.attrib) == dict(other.attrib)
        and (one.text or "") == (other.text or "")
        and len(one) == len(other)
        and all(
            same(mine, theirs) and (mine.tail or "") == (theirs.tail or "")
            for mine, theirs in zip(one, other, strict=True)
        )
    )


def signed_again(
    tree: etree._Element, identity: Identity, scheme: AsymmetricPadding | None = None
) -> etree._Element:
    """The same document, with a signature value over what its SignedInfo says now."""
    assert isinstance(identity.key, rsa.RSAPrivateKey)
    octets = etree.tostring(the(sent(tree), "SignedInfo"), method="c14n", exclusive=True)
    value = identity.key.sign(octets, scheme or padding.PKCS1v15(), hashes.SHA256())
    the(tree, "SignatureValue").text = base64.b64encode(value).decode()
    return tree


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
