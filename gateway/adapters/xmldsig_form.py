"""What an XML signature says of itself: position, parts and algorithms, by exact lists.

Nothing is computed here, so that a stranger costs little.

Source: XML Signature 1.1 §4; standards §3.1, §3.2 and §3.5.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from lxml import etree

from gateway.errors import Code, Finding, Refusal
from gateway.markup import EXC_C14N, XMLDSIG

MORE = "http://www.w3.org/2001/04/xmldsig-more#"
MORE_2007 = "http://www.w3.org/2007/05/xmldsig-more#"
XMLENC = "http://www.w3.org/2001/04/xmlenc#"
ENVELOPED = f"{XMLDSIG}enveloped-signature"

RSA, PSS, ECDSA = "rsa", "rsa-MGF1", "ecdsa"

METHODS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        f"{MORE}rsa-sha256": (RSA, "sha256"),
        f"{MORE}rsa-sha384": (RSA, "sha384"),
        f"{MORE}rsa-sha512": (RSA, "sha512"),
        f"{MORE_2007}sha256-rsa-MGF1": (PSS, "sha256"),
        f"{MORE_2007}sha384-rsa-MGF1": (PSS, "sha384"),
        f"{MORE_2007}sha512-rsa-MGF1": (PSS, "sha512"),
        f"{MORE}ecdsa-sha256": (ECDSA, "sha256"),
        f"{MORE}ecdsa-sha384": (ECDSA, "sha384"),
        f"{MORE}ecdsa-sha512": (ECDSA, "sha512"),
    }
)
"""Allowed signature methods (RFC 9231 §2.3): the scheme and its hash."""

DIGESTS: Mapping[str, Callable[[bytes], hashlib._Hash]] = MappingProxyType(
    {
        f"{XMLENC}sha256": hashlib.sha256,
        f"{MORE}sha384": hashlib.sha384,
        f"{XMLENC}sha512": hashlib.sha512,
    }
)
"""Allowed digests."""

_LONGEST_BASE64 = 8192


def ds(name: str) -> str:
    """A name of XMLDSig, as lxml writes it."""
    return f"{{{XMLDSIG}}}{name}"


SIGNATURE = ds("Signature")
_TRANSFORMS = (ENVELOPED, EXC_C14N)
_ONLY_EXC_C14N = frozenset({EXC_C14N})
_SIGNATURE_PARTS = tuple(map(ds, ("SignedInfo", "SignatureValue", "KeyInfo")))
_SIGNED_INFO_PARTS = tuple(map(ds, ("CanonicalizationMethod", "SignatureMethod", "Reference")))
_REFERENCE_PARTS = tuple(map(ds, ("Transforms", "DigestMethod", "DigestValue")))
_KEY_INFO_PARTS = frozenset({ds("X509Data"), ds("KeyName"), ds("KeyValue")})


class Claim(NamedTuple):
    """One signature over one whole document, as it stands there; nothing of it is believed.

    Attributes:
        method: A key of ``METHODS``.
        digest: A key of ``DIGESTS``.
        fingerprint: SHA-256 over the certificate that came along, 64 hex digits.
        plain: It is written as nearly all are, and its shape is known to be right.
    """

    signature: etree._Element
    signed_info: etree._Element
    method: str
    digest: str
    digest_value: bytes
    value: bytes
    fingerprint: str
    plain: bool = False


def read(document: etree._Element) -> Claim:
    """Read the one enveloped signature of a document that has the form we accept.

    Raises:
        Refusal: HANDTEKENING_ONTBREEKT, HANDTEKENING_POSITIE, ALGORITME_VERBODEN,
            CERTIFICAAT_ONBEKEND (no certificate, or several), or HANDTEKENING_ONGELDIG
            (a value that is no base64).
    """
    signature = _only_signature(document)
    return _read_plain(signature) or _read_any(signature)


def _read_any(signature: etree._Element) -> Claim:
    if signature.find(ds("KeyInfo")) is None:
        raise refusal(Code.CERTIFICAAT_ONBEKEND, "geen-certificaat", signature)
    signed_info, value, key_info = _children(signature, _SIGNATURE_PARTS)
    signature_value = _decoded(value, Code.HANDTEKENING_ONGELDIG)
    method, digest, digest_value = _read_signed_info(signed_info)
    fingerprint = _claimed_fingerprint(key_info)
    return Claim(signature, signed_info, method, digest, digest_value, signature_value, fingerprint)


def refusal(code: Code, rule: str, element: etree._Element | None = None) -> Refusal:
    """A refusal that points at the signature, with a line where there is one."""
    line = None if element is None else element.sourceline
    return Refusal(code, Finding(rule, "/*/Signature", line))


def _only_signature(document: etree._Element) -> etree._Element:
    found = list(document.iter(SIGNATURE))
    if not found:
        raise Refusal(Code.HANDTEKENING_ONTBREEKT, Finding("ontbreekt", "/*/Signature"))
    if len(found) > 1:
        raise refusal(Code.HANDTEKENING_POSITIE, "aantal", found[1])
    if found[0].getparent() is not document:
        raise refusal(Code.HANDTEKENING_POSITIE, "plaats", found[0])
    return found[0]


def _written(name: str, *parts: str, attribute: str = "") -> str:
    """A pattern for one element with these parts in it, as lxml writes them."""
    inside = _GAP.join(("", *parts, "")) if parts else ""
    return f"<(?P=prefix){name}{attribute}>{inside}</(?P=prefix){name}>"


def _written_method(name: str, algorithm: str) -> str:
    return f'<(?P=prefix){name} Algorithm="{algorithm}"/>'


def _written_value(name: str) -> str:
    return f"<(?P=prefix){name}>([^<]{{1,{_LONGEST_BASE64}}})</(?P=prefix){name}>"


_GAP = r"[ \t\n]{0,99}"  # one without end would be looked at for nothing
_NAME = r"[A-Za-z_][\w.-]*"
_PLAIN = re.compile(
    rf'<(?P<prefix>(?:{_NAME}:)?)Signature(?: xmlns(?::{_NAME})?="[^"]*")*>'
    + _GAP.join(
        (
            "",
            _written(
                "SignedInfo",
                _written_method("CanonicalizationMethod", re.escape(EXC_C14N)),
                _written_method("SignatureMethod", '([^"]*)'),
                _written(
                    "Reference",
                    _written(
                        "Transforms",
                        *(_written_method("Transform", re.escape(each)) for each in _TRANSFORMS),
                    ),
                    _written_method("DigestMethod", '([^"]*)'),
                    _written_value("DigestValue"),
                    attribute=' URI=""',
                ),
            ),
            _written_value("SignatureValue"),
            _written("KeyInfo", _written("X509Data", _written_value("X509Certificate"))),
            "</(?P=prefix)Signature>",
        )
    ),
    re.ASCII,
)


def _read_plain(signature: etree._Element) -> Claim | None:
    """Read a signature that is written as nearly all are, at once; None for any other.

    Only the outermost element may declare, so one prefix is one namespace; whatever is not
    in the pattern, another look has to judge. What this reads, ``_read_any`` reads likewise
    and ``judge_shape`` lets pass.
    """
    found = _PLAIN.fullmatch(etree.tostring(signature, encoding="unicode", with_tail=False))
    if found is None:
        return None
    _, method, digest, *texts = found.groups()
    if method not in METHODS or digest not in DIGESTS:
        return None
    try:
        digest_value, value, certificate = (
            base64.b64decode(text.replace("\n", ""), validate=True) for text in texts
        )
    except ValueError:
        return None
    return Claim(
        signature=signature,
        signed_info=signature[0],
        method=method,
        digest=digest,
        digest_value=digest_value,
        value=value,
        fingerprint=hashlib.sha256(certificate).hexdigest(),
        plain=True,
    )


def _children(element: etree._Element, tags: tuple[str, ...]) -> list[etree._Element]:
    """The children, if they are exactly these; no parameters, no extensions."""
    found = list(element)
    if tuple(child.tag for child in found) != tags:
        raise refusal(Code.HANDTEKENING_POSITIE, "onderdelen", element)
    return found


def _read_signed_info(signed_info: etree._Element) -> tuple[str, str, bytes]:
    """Judge everything that steers the computation; gives method, digest and its value."""
    if len(signed_info.findall(ds("Reference"))) != 1:
        raise refusal(Code.HANDTEKENING_POSITIE, "aantal-verwijzingen", signed_info)
    canonicalization, method, reference = _children(signed_info, _SIGNED_INFO_PARTS)
    _algorithm(canonicalization, _ONLY_EXC_C14N, "canonicalisatie")
    algorithm = _algorithm(method, METHODS, "handtekening")
    if reference.get("URI") != "" or reference.get("Type") is not None:
        raise refusal(Code.HANDTEKENING_POSITIE, "verwijzing", reference)
    transforms, digest, value = _children(reference, _REFERENCE_PARTS)
    steps = list(transforms)
    if tuple(step.get("Algorithm") for step in steps) != _TRANSFORMS:
        raise refusal(Code.ALGORITME_VERBODEN, "transformatie", transforms)
    for step in steps:
        _algorithm(step, _TRANSFORMS, "transformatie")
    used = _algorithm(digest, DIGESTS, "digest")
    return algorithm, used, _decoded(value, Code.HANDTEKENING_ONGELDIG)


def _algorithm(
    element: etree._Element,
    allowed: Mapping[str, object] | frozenset[str] | tuple[str, ...],
    rule: str,
) -> str:
    algorithm: str | None = element.get("Algorithm")
    # A child would be a parameter (HMACOutputLength, InclusiveNamespaces, XPath, …).
    if algorithm is None or algorithm not in allowed or len(element):
        raise refusal(Code.ALGORITME_VERBODEN, rule, element)
    return algorithm


def _claimed_fingerprint(key_info: etree._Element) -> str:
    if any(part.tag not in _KEY_INFO_PARTS for part in key_info):
        raise refusal(Code.HANDTEKENING_POSITIE, "sleutelgegevens", key_info)
    found = list(key_info.iter(ds("X509Certificate")))
    if len(found) != 1 or found[0].getparent().tag != ds("X509Data"):
        rule = "aantal-certificaten" if found else "geen-certificaat"
        raise refusal(Code.CERTIFICAAT_ONBEKEND, rule, key_info)
    return hashlib.sha256(_decoded(found[0], Code.CERTIFICAAT_ONBEKEND)).hexdigest()


def _decoded(element: etree._Element, code: Code) -> bytes:
    text = element.text or ""
    try:
        if len(element) or not 0 < len(text) <= _LONGEST_BASE64:
            raise refusal(code, "base64", element)
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError:  # binascii.Error is one
        raise refusal(code, "base64", element) from None
