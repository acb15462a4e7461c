"""What a message that must be refused is: a row that says how to make it and what it gets.

A row is made from a good message of the SHV to the creditor. Names that the contract does
not know contain "zonderling", so that a test can see whether an answer repeats them. The
rows are in ``bad_xml``, ``bad_json``, ``bad_signers``, ``bad_content`` and ``bad_requests``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from lxml import etree
from signxml.algorithms import CanonicalizationMethod, DigestAlgorithm, SignatureMethod
from signxml.signer import XMLSigner

from fixtures.documents import kind
from gateway.adapters.jades import HTTP_HEADERS, base64url, thumbprint
from gateway.message import Json, Kind, Oin, as_bytes
from tests.e2e.here import NOTICE, Here, Sent, a_notice

logging.getLogger("signxml").setLevel(logging.CRITICAL)  # it logs what it signs

DS = "http://www.w3.org/2000/09/xmldsig#"
NAMESPACE = b"urn:nld:schuldhulp-gateway:schuldregeling:v2"
EXCLUSIVE = CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0
DEEP = 100_000
SALDO = kind("schuldregeling", "SaldoverzoekAntwoord")
TRIAL = kind("gateway", "TermijnVerstreken")

Make = Callable[[Here], Sent]


class Row(NamedTuple):
    """One bad message.

    Attributes:
        rule: What the first finding says, where there is one.
        party: Whom the refusal entry names; None for those that were not verified.
    """

    name: str
    make: Make
    status: int
    code: str
    rule: str | None = None
    party: Oin | None = None


# How to make them


def bytes_of_xml(change: Callable[[bytes], bytes]) -> Make:
    """A signed message of which the bytes are changed afterwards."""
    return lambda here: here.as_xml(change(here.xml.signed(NOTICE, a_notice())))


def signed_text(find: bytes, replacement: bytes) -> Make:
    """A message that is changed before it is signed."""

    def make(here: Here) -> Sent:
        changed = etree.tostring(here.tree(a_notice())).replace(find, replacement)
        tree = etree.fromstring(changed)
        return here.as_xml(etree.tostring(sign(here, tree), encoding="UTF-8"))

    return make


def signed_with(
    *,
    method: SignatureMethod = SignatureMethod.RSA_SHA256,
    digest: DigestAlgorithm = DigestAlgorithm.SHA256,
    c14n: CanonicalizationMethod = EXCLUSIVE,
    **options: Any,
) -> Make:
    """A message signed with other algorithms or other key information."""

    def make(here: Here) -> Sent:
        tree = here.tree(a_notice())
        signed = sign(here, tree, method=method, digest=digest, c14n=c14n, **options)
        return here.as_xml(etree.tostring(signed, encoding="UTF-8"))

    return make


class Careless(XMLSigner):
    """The library's signer, which may also do what nobody should."""

    def check_deprecated_methods(self) -> None:
        """SHA-1 is what we want to see refused."""


def sign(
    here: Here,
    tree: etree._Element,
    *,
    method: SignatureMethod = SignatureMethod.RSA_SHA256,
    digest: DigestAlgorithm = DigestAlgorithm.SHA256,
    c14n: CanonicalizationMethod = EXCLUSIVE,
    **options: Any,
) -> etree._Element:
    """A tree signed by the SHV."""
    signer = Careless(signature_algorithm=method, digest_algorithm=digest, c14n_algorithm=c14n)
    chosen: dict[str, Any] = {"key": here.xml.key, "cert": [here.xml.identity.cert], **options}
    return signer.sign(tree, **chosen)


def signed_tree(change: Callable[[etree._Element], etree._Element]) -> Make:
    """A signed message whose tree is changed afterwards."""

    def make(here: Here) -> Sent:
        changed = change(sign(here, here.tree(a_notice())))
        return here.as_xml(etree.tostring(changed, xml_declaration=True, encoding="UTF-8"))

    return make


def json_bytes(change: Callable[[bytes], bytes]) -> Make:
    """JSON of which the bytes are changed before they are signed."""
    return lambda here: here.as_json(change(as_bytes(a_notice())))


def json_document(change: Callable[[Json], Json]) -> Make:
    """JSON of which the document is changed before it is signed."""
    return lambda here: here.written(change(a_notice()))


def json_headers(change: Callable[[dict[str, str]], list[tuple[str, str]]]) -> Make:
    """Good signed JSON whose headers are changed afterwards."""

    def make(here: Here) -> Sent:
        good = here.written(a_notice())
        return Sent(good.body, change(dict(good.headers)), good.token_of)

    return make


def in_both_forms(document: Callable[[], Json], which: Kind = NOTICE) -> tuple[Make, Make]:
    """A signed message that is wrong in what it says, in XML and in JSON."""
    return lambda here: here.signed(document(), which), lambda here: here.written(document())


def jws(*, key: Callable[[Here, bytes], bytes], **header: object) -> Make:
    """Good JSON under a signature of another making."""

    def make(here: Here) -> Sent:
        body = as_bytes(a_notice())
        digest = f"SHA-256={base64.b64encode(hashlib.sha256(body).digest()).decode()}"
        told = {
            "alg": "PS256",
            "b64": False,
            "crit": ["b64", "sigD"],
            "sigD": {"mId": HTTP_HEADERS, "pars": ["digest"]},
            "x5t#S256": thumbprint(here.json.identity.cert),
            **header,
        }
        protected = base64url(json.dumps(told).encode())
        signature = base64url(key(here, f"{protected}.digest: {digest}".encode()))
        headers = [
            ("Content-Type", "application/json"),
            ("Digest", digest),
            ("Payload-Signature", f"{protected}..{signature}"),
        ]
        return Sent(body, headers, here.json)

    return make


def with_pss(here: Here, content: bytes) -> bytes:
    """RSA-PSS, as it should be."""
    return here.json.key.sign(
        content, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256()
    )


def with_pkcs1(here: Here, content: bytes) -> bytes:
    """What RS256 means."""
    return here.json.key.sign(content, padding.PKCS1v15(), hashes.SHA256())


def with_public_key_as_secret(here: Here, content: bytes) -> bytes:
    """What HS256 means to a verifier that takes any key for a secret."""
    return hmac.new(public_pem(here), content, hashlib.sha256).digest()


def public_pem(here: Here) -> bytes:
    """The public key of the SHV, as anybody can have it."""
    return here.json.identity.cert.public_key().public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )
