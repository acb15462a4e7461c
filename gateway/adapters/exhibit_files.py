"""What does a file hold that somebody brings as evidence, and did the gateway sign it?

JSON and XML are read by the strict readers; from the pages of a statement (PDF) the signed
XML that is attached to them is taken out.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from cryptography import x509
from lxml import etree

from gateway import json as strict
from gateway import xml
from gateway.adapters import certificates, xmldsig
from gateway.adapters.verklaring_pdf import as_pdf
from gateway.audit import Sort, Verify
from gateway.errors import Code, Fault, Finding, Refusal
from gateway.exhibits import DELIVERY, Judged, judge, judge_signed, unreadable
from gateway.message import Json
from gateway.replies import AFLEVERING, VERKLARING_GEEN_REACTIE
from gateway.routing.directory import Certificate
from gateway.schemas import Catalogue
from gateway.verklaring import STATEMENT

Element: TypeAlias = etree._Element  # noqa: SLF001 - lxml has no other name for it

JudgeSeal = Callable[[Element], tuple[Element, Sort | None]]
"""A signed document without its signature, and what is wrong with that; None for nothing."""

LARGEST_ATTACHMENT_BYTES = 1024 * 1024

_EMBEDDED = re.compile(rb"/EmbeddedFile(?![A-Za-z])")
_STREAM = re.compile(rb">>\s*stream\r?\n")
_LONGEST_HEAD_BYTES = 1000  # of the dictionary before the bytes of an attachment
_SIGNED_KINDS = (AFLEVERING, VERKLARING_GEEN_REACTIE)
_PAGES_UNCHECKED = (
    "de bladzijden van de PDF zijn niet nagegaan (gewijzigd, of gemaakt door een andere versie "
    "van de gateway); alleen wat hier onder Bewezen staat telt"
)
_PAGES_SAME = "de bladzijden van de PDF zeggen precies wat is ondertekend"


def seal_judge(*published: Json) -> JudgeSeal:
    """Judges XML signatures by the certificates in one or more JWKS, old and new together.

    Raises:
        Fault: one of them is no JWKS.
    """
    known = {each.fingerprint: each for keys in published for each in _certificates(keys)}

    def trust(fingerprint: str) -> Certificate:
        if fingerprint not in known:
            raise Refusal(Code.CERTIFICAAT_ONBEKEND, Finding("sleutels", ""))
        return known[fingerprint]

    def judged(tree: Element) -> tuple[Element, Sort | None]:
        try:
            return xmldsig.check(tree, trust)[0], None
        except Refusal as refusal:
            return tree, _WRONG.get(refusal.code, Sort.SIGNATURE)

    return judged


_WRONG = {Code.HANDTEKENING_ONTBREEKT: Sort.UNSIGNED, Code.CERTIFICAAT_ONBEKEND: Sort.KEY}


def _certificates(published: Json) -> Iterable[Certificate]:
    try:
        return [
            certificates.read(certificates.pem(x509.load_der_x509_certificate(_der(each))))
            for each in published["keys"]
            if "x5c" in each
        ]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise Fault("this is no set of published keys (GET /v1/sleutels)") from error


def _der(key: Json) -> bytes:
    return base64.b64decode(key["x5c"][0], validate=True)


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One file, read but not judged.

    Attributes:
        document: Canonical JSON; None where it is unreadable, or signed as a whole.
        signed: XML that must carry the gateway's signature, and its bytes.
        pages: The PDF that it came in.
    """

    name: str
    document: Json | None = None
    signed: tuple[Element, bytes] | None = None
    pages: bytes | None = None


def read(name: str, content: bytes, catalogue: Catalogue) -> Exhibit:
    """What a file holds; never raises for what is in it."""
    pages = content if content.startswith(b"%PDF-") else None
    try:
        body = content if pages is None else attached(pages)
        if body.lstrip()[:1] != b"<":
            return Exhibit(name, strict.parse(body))
        tree = xml.parse(body)
        if any(tree.tag == catalogue.kinds[kind].root.tag for kind in _SIGNED_KINDS):
            return Exhibit(name, signed=(tree, body), pages=pages)
        return Exhibit(name, catalogue.to_json(tree))
    except (Refusal, KeyError, ValueError):
        return Exhibit(name)


def judged(
    exhibit: Exhibit,
    verify: Verify,
    seals: JudgeSeal,
    catalogue: Catalogue,
    original: bytes | None = None,
) -> Judged:
    """What a file proves, by the keys in ``verify`` and ``seals``."""
    if exhibit.signed is not None:
        return _judged_signed(exhibit, *exhibit.signed, seals, catalogue)
    if exhibit.document is None:
        return unreadable(exhibit.name)
    if STATEMENT in exhibit.document or DELIVERY in exhibit.document:
        return judge_signed(exhibit.name, exhibit.document, Sort.UNSIGNED)
    return judge(exhibit.name, exhibit.document, verify, original)


def _judged_signed(
    exhibit: Exhibit, tree: Element, body: bytes, seals: JudgeSeal, catalogue: Catalogue
) -> Judged:
    content, wrong = seals(tree)
    if wrong is not None:
        return judge_signed(exhibit.name, {}, wrong)
    try:
        document = catalogue.to_json(content)
    except (KeyError, ValueError):
        return unreadable(exhibit.name)
    found = judge_signed(exhibit.name, document, None)
    if exhibit.pages is not None:
        same = as_pdf(document, body) == exhibit.pages
        (found.proven if same else found.remarks).append(_PAGES_SAME if same else _PAGES_UNCHECKED)
    return found


def attached(pages: bytes) -> bytes:
    """The file that is attached to a PDF of ours.

    Raises:
        ValueError: there is not exactly one, or it is too large.
    """
    places = [found.start() for found in _EMBEDDED.finditer(pages)]
    if len(places) != 1:
        raise ValueError("expected one attachment")
    begin = _STREAM.search(pages, places[0], places[0] + _LONGEST_HEAD_BYTES)
    if begin is None:
        raise ValueError("not a readable attachment")
    head = pages[pages.rfind(b"obj", 0, places[0]) : begin.start()]
    body = pages[begin.end() : pages.index(b"endstream", begin.end())]
    if b"/FlateDecode" in head:  # not as we write it, but as tools that save it again
        try:
            body = zlib.decompressobj().decompress(body, LARGEST_ATTACHMENT_BYTES + 1)
        except zlib.error as error:
            raise ValueError("not a readable attachment") from error
    if len(body) > LARGEST_ATTACHMENT_BYTES:
        raise ValueError("the attachment is too large")
    return body.rstrip(b"\r\n")
