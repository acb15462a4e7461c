"""Signs made-up messages in every way, also the wrong ones, without our own code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from lxml import etree
from signxml.algorithms import CanonicalizationMethod, DigestAlgorithm, SignatureMethod
from signxml.signer import XMLSigner
from signxml.verifier import SignatureConfiguration, XMLVerifier

from fixtures.pki import Identity
from gateway.adapters import xmldsig
from gateway.errors import Code, Finding, Refusal
from gateway.routing.directory import Certificate
from gateway.verify import Proof

NAMESPACE = "urn:nld:schuldhulp-gateway:schuldregeling:v2"
DS = "http://www.w3.org/2000/09/xmldsig#"
EXCLUSIVE = CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0
BSN = "999990019"


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
