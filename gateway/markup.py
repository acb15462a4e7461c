"""What can be judged of an XML document before a parser sees it: its bytes.

The parser never forgets a name: libxml2 keeps every element name, prefix and run of white
space of a thread for ever (measured: 2 MB a hostile request, without a signature). So
only tags that we know get through here.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from importlib import resources
from typing import NamedTuple

from gateway.errors import Code, Finding, Refusal

XMLDSIG = "http://www.w3.org/2000/09/xmldsig#"
EXC_C14N = "http://www.w3.org/2001/10/xml-exc-c14n#"
XSI = "http://www.w3.org/2001/XMLSchema-instance"

MOST_DECLARATIONS = 16
"""Namespace declarations in one document."""
MOST_ELEMENTS = 50_000
"""Elements in one document."""
MOST_ATTRIBUTES = 32
"""Attributes in one document; a signature needs about eight."""
LONGEST_ATTRIBUTE = 4096
"""Bytes in one attribute."""
MOST_STRANGE_NAMES = 16
"""Names outside the contract that reach the schema, which says best what is wrong."""
LONGEST_TAG = 8192
"""Bytes of one tag with its attributes."""
LONGEST_KEPT_TAG = 256
"""Bytes of a tag that is judged once and remembered."""
LONGEST_KEPT_TAGS = 4096
"""Bytes of the unusual tags of a document that are judged once, together, and remembered."""
MOST_ODD_SPACES = 32
"""Different long runs of white space between tags that are not plain indentation."""

_NO_MARK = bytes(byte for byte in range(256) if byte not in b"<>=!?&")
_DECLARATION = re.compile(
    rb"""<\?xml[ \t\r\n]+version[ \t\r\n]*=[ \t\r\n]*(["'])1\.0\1"""
    rb"""(?:[ \t\r\n]+encoding[ \t\r\n]*=[ \t\r\n]*(["'])[Uu][Tt][Ff]-8\2)?"""
    rb"""(?:[ \t\r\n]+standalone[ \t\r\n]*=[ \t\r\n]*(["'])(?:yes|no)\3)?[ \t\r\n]*\?>"""
)
_SPACE = rb"[ \t\r\n]"
_ATTRIBUTE = re.compile(
    rb"""([A-Za-z_][\w.:-]{0,99})%(s)s{0,9}=%(s)s{0,9}(?:"([^"<>]*)"|'([^'<>]*)')"""
    % {b"s": _SPACE}
)
_TAG = re.compile(rb"<([^>]*)")  # without its end: a tag that has none is not well-formed
_STRICT_TAG = re.compile(
    rb"/?(?:([A-Za-z_][\w.-]{0,63}):)?([A-Za-z_][\w.-]{0,99})"
    rb"((?:%s+%s)*)%s*/?" % (_SPACE, _ATTRIBUTE.pattern, _SPACE)
)
_CHARACTER_DATA = re.compile(rb"<!\[CDATA\[.*?\]\]>", re.DOTALL)
_BAD_REFERENCE = re.compile(rb"&(?!(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#x[0-9A-Fa-f]{1,6});)")
_XMLNS = re.compile(rb"xmlns")
_INDENT = re.compile(rb"[\r\n]*(?: *|\t*)")
_LONG_SPACE = re.compile(rb">(%s{16,})(?=<)" % _SPACE)
_FEW_SPACES = 16 * MOST_ODD_SPACES
"""So many bytes have no room for more long runs than there may be odd ones."""
_OURS = re.compile(rb"urn:nld:schuldhulp-gateway:[a-z][a-z0-9-]*:v[1-9][0-9]{0,3}")
_SIGNATURE_SPACE = XMLDSIG.encode()
_FOREIGN = frozenset({_SIGNATURE_SPACE, EXC_C14N.encode(), XSI.encode()})
_CONTRACT_NAME = re.compile(rb'name="([A-Za-z][\w.-]*)"')
_SIGNATURE_NAMES = frozenset(
    b"Signature SignedInfo CanonicalizationMethod SignatureMethod Reference Transforms Transform"
    b" DigestMethod DigestValue SignatureValue KeyInfo KeyName KeyValue RSAKeyValue Modulus"
    b" Exponent X509Data X509Certificate X509SubjectName X509IssuerSerial X509IssuerName"
    b" X509SerialNumber".split()
)
_ATTRIBUTE_NAMES = frozenset({b"Id", b"Algorithm", b"URI", b"Type"})


class Seen(NamedTuple):
    """What the bytes prove of the tree that a parser makes of them.

    False where another look has to find out.

    Attributes:
        bare: No comment, instruction, entity or document type can be in it.
        plain: Its attributes are few, and each is one of XMLDSig but an Id, where it belongs.
    """

    bare: bool
    plain: bool


def judge(body: bytes) -> Seen:
    """Let only those bytes through that a parser may see.

    Raises:
        Refusal: DOCTYPE_VERBODEN; XML_ONGELDIG for all else, with a rule word and, where
            it is known, a line.
    """
    _judge_encoding(body)
    marks = body.translate(None, _NO_MARK)
    signs = marks.translate(None, b"<>=")
    # most messages have no sign that another look would be about, but those of a declaration
    bare = not signs or (signs == b"??" and _DECLARATION.match(body) is not None)
    if not bare:
        _judge_asides(body)
    _judge_amounts(body)
    attributes = _judge_tags(body, marks)
    # without "=" there is no attribute
    return Seen(bare, attributes and marks.count(b"=") <= MOST_ATTRIBUTES)


def refuse(rule: str, line: int | None = None, code: Code = Code.XML_ONGELDIG) -> Refusal:
    """A refusal of form, with a line where there is one."""
    return Refusal(code, Finding(rule, "", line))


def _judge_encoding(body: bytes) -> None:
    if b"\0" in body:  # also every UTF-16 or UTF-32 text with one ASCII character
        raise refuse("codering")
    if not body.isascii():
        try:
            body.decode("utf-8")
        except UnicodeDecodeError:
            raise refuse("codering") from None


def _judge_asides(body: bytes) -> None:
    # one byte is found much sooner than two, and most messages have neither
    if b"!" in body and b"<!" in body:
        # These cannot occur in text, where "<" is escaped; in CDATA we refuse them too.
        if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
            raise refuse("doctype", code=Code.DOCTYPE_VERBODEN)
        if b"<!--" in body:
            raise refuse("commentaar")
        # an opening that nothing closes would make the search for its end quadratic
        if body.rfind(b"<![CDATA[") > body.rfind(b"]]>"):
            raise refuse("welgevormd")
    start = 3 if body.startswith(b"\xef\xbb\xbf") else 0
    if b"?" in body and b"<?" in body:
        declaration = _DECLARATION.match(body, start)
        if declaration is None:
            raise refuse("xml-declaratie")
        rest = declaration.end()
        if body.find(b"?", rest) != -1 and body.find(b"<?", rest) != -1:
            raise refuse("verwerkingsinstructie")


def _judge_amounts(body: bytes) -> None:
    if len(body) > 2 * MOST_ELEMENTS and body.count(b"<") > 2 * MOST_ELEMENTS:
        raise refuse("aantal-elementen")
    # Exclusive C14N repeats a declaration wherever its prefix is first used, so long or
    # many declarations are a bomb (measured: 130 kB of them make 500 MB). A document
    # cannot declare a namespace without these five bytes: no DTD, and UTF-8 only.
    if len(_XMLNS.findall(body)) > MOST_DECLARATIONS:
        raise refuse("aantal-naamruimten")


def _judge_tags(body: bytes, marks: bytes) -> bool:
    """Let only tags through that we know, so that the parser stores nothing else.

    Every ``<`` must begin a whole, ordinary tag. Character data is blanked by something
    that cannot be inside a tag, so that nothing hides between its marks.

    Returns:
        Whether the attributes are as ``Seen.plain`` says, however many.
    """
    markup = body
    if b"!" in marks and b"<![CDATA[" in body:
        markup = _CHARACTER_DATA.sub(b">", body)
        marks = markup.translate(None, _NO_MARK)
    unusual = _tags(markup, marks.translate(None, b"=!?&")) - _plain_tags()
    kept = sum(map(len, unusual)) <= LONGEST_KEPT_TAGS
    found = _judged(unusual) if kept else _judged.__wrapped__(unusual)
    if found.rule is not None:
        at = None if found.tag is None else _line(body, body.find(b"<" + found.tag))
        raise refuse(found.rule, at)
    if b"&" in marks and (bad := _BAD_REFERENCE.search(markup)):
        raise refuse("welgevormd", _line(markup, bad.start()))
    _judge_space(markup)
    return found.plain


def _tags(markup: bytes, angles: bytes) -> frozenset[bytes]:
    """Every different tag, from its ``<`` until its ``>``, without these."""
    if angles == b"<>" * (len(angles) // 2):
        # every second piece is a tag: the same answer as that of the pattern, and sooner
        return frozenset(markup.replace(b">", b"<").split(b"<")[1::2])
    return frozenset(_TAG.findall(markup))


def _judge_space(markup: bytes) -> None:
    # a run is odd by a tab or a line end in it; most messages have none far from the start
    if (
        markup.find(b"\n", _FEW_SPACES) == -1
        and markup.find(b"\t", _FEW_SPACES) == -1
        and markup.find(b"\r", _FEW_SPACES) == -1
    ):
        return
    spaces = set(_LONG_SPACE.findall(markup))
    if sum(_INDENT.fullmatch(space) is None for space in spaces) > MOST_ODD_SPACES:
        raise refuse("witruimte")


class _Tag(NamedTuple):
    """One tag: its prefix, its name where the contract has it, and what it declares or has."""

    prefix: bytes | None
    name: bytes | None
    attributes: tuple[tuple[bytes, bytes], ...]


class _Judged(NamedTuple):
    """What there is to say of the unusual tags of a document.

    Attributes:
        rule: What is wrong, if anything.
        tag: Where that is, if it is in one tag.
        plain: As ``Seen.plain``, but for their number.
    """

    rule: str | None
    tag: bytes | None = None
    plain: bool = False


# Messages of one party have the same few unusual tags: a root, and those of its signature.
@lru_cache(maxsize=256)
def _judged(tags: frozenset[bytes]) -> _Judged:
    read: dict[bytes, _Tag] = {}
    for tag in tags:
        if tag.startswith(b"?"):
            continue  # the declaration, judged before
        try:
            # long ones would fill the memory
            long = len(tag) > LONGEST_KEPT_TAG
            read[tag] = _read_tag.__wrapped__(tag) if long else _read_tag(tag)
        except Refusal as refusal:
            return _Judged(refusal.findings[0].rule, tag)
    bound: dict[bytes, set[bytes]] = {}
    for each in read.values():
        for name, value in each.attributes:
            if name.startswith(b"xmlns:"):
                bound.setdefault(name[6:], set()).add(value)
    strange = {
        tag.partition(b" ")[0]
        for tag, each in read.items()
        if each.name is None or (each.prefix is not None and each.prefix not in bound)
    }
    if len(strange) > MOST_STRANGE_NAMES:
        return _Judged("namen")
    return _Judged(None, plain=all(_is_plain(each, bound) for each in read.values()))


def _is_plain(tag: _Tag, bound: dict[bytes, set[bytes]]) -> bool:
    names = {name for name, _ in tag.attributes if name.partition(b":")[0] != b"xmlns"}
    return not names or (
        b"Id" not in names
        and names <= _ATTRIBUTE_NAMES
        and tag.prefix is not None
        # however far a declaration reaches, this prefix means nothing else
        and bound.get(tag.prefix) == {_SIGNATURE_SPACE}
    )


@lru_cache(maxsize=4096)
def _read_tag(tag: bytes) -> _Tag:
    if len(tag) > LONGEST_TAG:
        raise refuse("tag-lengte")
    found = _STRICT_TAG.fullmatch(tag)
    if found is None:
        raise refuse("welgevormd")
    attributes = tuple((name, one or other) for name, one, other in _ATTRIBUTE.findall(found[3]))
    for name, value in attributes:
        if len(value) > LONGEST_ATTRIBUTE:
            raise refuse("attribuut-lengte")
        if name == b"xmlns" or name.startswith(b"xmlns:"):
            if value not in _FOREIGN and _OURS.fullmatch(value) is None:
                raise refuse("naamruimte")
        elif name not in _ATTRIBUTE_NAMES and not name.endswith(b":schemaLocation"):
            raise refuse("attribuut")
    return _Tag(found[1], found[2] if found[2] in _vocabulary() else None, attributes)


@cache
def _vocabulary() -> frozenset[bytes]:
    """Every name of the contract, read once from the published schemas, and of XMLDSig."""
    names = set(_SIGNATURE_NAMES)
    for file in resources.files("gateway").joinpath("schemas", "xsd").iterdir():
        if file.name.endswith(".xsd"):
            names.update(_CONTRACT_NAME.findall(file.read_bytes()))
    return frozenset(names)


@cache
def _plain_tags() -> frozenset[bytes]:
    """The tags as they are mostly written: without attributes, only the signature's prefixed."""
    forms = (b"%s", b"/%s", b"%s/")
    names = [*_vocabulary(), *(b"ds:" + name for name in _SIGNATURE_NAMES)]
    return frozenset(form % name for form in forms for name in names)


def _line(body: bytes, place: int) -> int:
    return body.count(b"\n", 0, max(place, 0)) + 1
