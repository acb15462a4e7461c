"""Whether an XML signature has the shape that the schema of XMLDSig gives it, hints included.

Source: XML Signature 1.1 §4; standards §3.5.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from lxml import etree

from gateway.adapters.xmldsig_form import ds, refusal
from gateway.errors import Code

_SPACE = " \t\r\n"


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
        ds(name): shape
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
            "KeyValue": _Shape(parts=(ds("RSAKeyValue"),), mixed=True),
            "RSAKeyValue": _Shape(parts=(ds("Modulus"), ds("Exponent"))),
            "Modulus": _BINARY,
            "Exponent": _BINARY,
            "X509Data": _Shape(
                parts=frozenset(
                    map(
                        ds,
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
            "X509IssuerSerial": _Shape(parts=(ds("X509IssuerName"), ds("X509SerialNumber"))),
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
