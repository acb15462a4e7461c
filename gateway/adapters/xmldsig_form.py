"""What an XML signature says of itself: position, parts and algorithms, by exact lists.

Nothing is computed here, so that a stranger costs little.

Source: XML Signature 1.1 §4; standards §3.1, §3.2 and §3.5.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from lxml import etree

from gateway.errors import Code, Finding, Refusal
from gateway.xml import EXC_C14N, XMLDSIG

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
_SPACE = " \t\r\n"


def _ds(name: str) -> str:
    return f"{{{XMLDSIG}}}{name}"


SIGNATURE = _ds("Signature")
_TRANSFORMS = (ENVELOPED, EXC_C14N)
_ONLY_EXC_C14N = frozenset({EXC_C14N})
_SIGNATURE_PARTS = tuple(map(_ds, ("SignedInfo", "SignatureValue", "KeyInfo")))
_SIGNED_INFO_PARTS = tuple(map(_ds, ("CanonicalizationMethod", "SignatureMethod", "Reference")))
_REFERENCE_PARTS = tuple(map(_ds, ("Transforms", "DigestMethod", "DigestValue")))
_KEY_INFO_PARTS = frozenset({_ds("X509Data"), _ds("KeyName"), _ds("KeyValue")})


@dataclass(frozen=True, slots=True)
class Claim:
    """One signature over one whole document, as it stands there; nothing of it is believed.

    Attributes:
        method: A key of ``METHODS``.
        digest: A key of ``DIGESTS``.
        fingerprint: SHA-256 over the certificate that came along, 64 hex digits.
    """

    signature: etree._Element
    signed_info: etree._Element
    method: str
    digest: str
    digest_value: bytes
    value: bytes
    fingerprint: str


def read(document: etree._Element) -> Claim:
    """Read the one enveloped signature of a document that has the form we accept.

    Raises:
        Refusal: HANDTEKENING_ONTBREEKT, HANDTEKENING_POSITIE, ALGORITME_VERBODEN,
            CERTIFICAAT_ONBEKEND (no certificate, or several), or HANDTEKENING_ONGELDIG
            (a value that is no base64).
    """
    signature = _only_signature(document)
    if signature.find(_ds("KeyInfo")) is None:
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


def _children(element: etree._Element, tags: tuple[str, ...]) -> list[etree._Element]:
    """The children, if they are exactly these; no parameters, no extensions."""
    found = list(element)
    if tuple(child.tag for child in found) != tags:
        raise refusal(Code.HANDTEKENING_POSITIE, "onderdelen", element)
    return found


def _read_signed_info(signed_info: etree._Element) -> tuple[str, str, bytes]:
    """Judge everything that steers the computation; gives method, digest and its value."""
    if len(signed_info.findall(_ds("Reference"))) != 1:
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
    found = list(key_info.iter(_ds("X509Certificate")))
    if len(found) != 1 or found[0].getparent().tag != _ds("X509Data"):
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


@dataclass(frozen=True, slots=True)
class _Shape:
    """What the schema of XMLDSig lets an element have, as far as we let it.

    Attributes:
        parts: The children: exactly these, or any of these; None where judged before.
        mixed: Text between the children is no mistake.
        text: Whether this can be the text of a leaf; None for any text.
    """

    attributes: frozenset[str] = frozenset()
    parts: tuple[str, ...] | frozenset[str] | None = ()
    mixed: bool = False
    text: Callable[[str], object] | None = None


_ID = frozenset({"Id"})
_NCNAME = re.compile(r"[^\W\d][\w.-]*")
_INTEGER = re.compile(r"[ \t\r\n]*[+-]?[0-9]+[ \t\r\n]*")


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode("".join(text.split()), validate=True)
    except ValueError:
        return False
    return True


_METHOD = _Shape(frozenset({"Algorithm"}), mixed=True)
_WORD = _Shape(mixed=True)
_BINARY = _Shape(mixed=True, text=_is_base64)
_SHAPES: Mapping[str, _Shape] = MappingProxyType(
    {
        _ds(name): shape
        for name, shape in {
            "Signature": _Shape(_ID, None),
            "SignedInfo": _Shape(_ID, None),
            "CanonicalizationMethod": _METHOD,
            "SignatureMethod": _METHOD,
            "Reference": _Shape(frozenset({"Id", "URI"}), None),
            "Transforms": _Shape(parts=None),
            "Transform": _METHOD,
            "DigestMethod": _METHOD,
            "DigestValue": _WORD,
            "SignatureValue": _Shape(_ID, mixed=True),
            "KeyInfo": _Shape(_ID, None, mixed=True),
            "KeyName": _WORD,
            "KeyValue": _Shape(parts=(_ds("RSAKeyValue"),), mixed=True),
            "RSAKeyValue": _Shape(parts=(_ds("Modulus"), _ds("Exponent"))),
            "Modulus": _BINARY,
            "Exponent": _BINARY,
            "X509Data": _Shape(
                parts=frozenset(
                    map(
                        _ds,
                        (
                            "X509Certificate",
                            "X509SubjectName",
                            "X509IssuerSerial",
                            "X509SKI",
                            "X509CRL",
                        ),
                    )
                )
            ),
            "X509Certificate": _WORD,
            "X509SubjectName": _WORD,
            "X509SKI": _BINARY,
            "X509CRL": _BINARY,
            "X509IssuerSerial": _Shape(parts=(_ds("X509IssuerName"), _ds("X509SerialNumber"))),
            "X509IssuerName": _WORD,
            "X509SerialNumber": _Shape(mixed=True, text=_INTEGER.fullmatch),
        }.items()
    }
)


def judge_shape(signature: etree._Element) -> None:
    """Hold what ``read`` did not look at to the schema of XMLDSig, hints included.

    Raises:
        Refusal: HANDTEKENING_ONGELDIG.
    """
    for element in signature.iter():
        shape = _SHAPES.get(element.tag)
        if shape is None or not (
            _has_attributes(element, shape)
            and _has_parts(element, shape.parts)
            and (shape.mixed or not _stray_text(element))
            and (shape.text is None or shape.text(element.text or ""))
        ):
            raise refusal(Code.HANDTEKENING_ONGELDIG, "kern", element)


def _has_attributes(element: etree._Element, shape: _Shape) -> bool:
    found = element.keys()
    return not found or (
        shape.attributes.issuperset(found)
        and ("Id" not in found or _NCNAME.fullmatch(element.get("Id", "")) is not None)
    )


def _has_parts(element: etree._Element, parts: tuple[str, ...] | frozenset[str] | None) -> bool:
    if parts is None:
        return True
    if isinstance(parts, frozenset):
        return parts.issuperset(part.tag for part in element)
    return len(element) == len(parts) and (not parts or tuple(e.tag for e in element) == parts)


def _stray_text(element: etree._Element) -> bool:
    if (text := element.text) and text.strip(_SPACE):
        return True
    return any((text := part.tail) and text.strip(_SPACE) for part in element)
