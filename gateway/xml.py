"""The one hardened parser: are these bytes XML that we are willing to look at?

Everything that could make a later step expensive or ambiguous is refused here: other
encodings, document types, comments, foreign namespaces, odd attributes, deep nesting.
What can be judged from the bytes is judged before the parser sees them, also because the
parser never forgets a name: libxml2 keeps every element name, prefix and run of white
space of a thread for ever (measured: 2 MB a hostile request, without a signature).
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from importlib import resources

from lxml import etree

from gateway.errors import Code, Finding, Refusal

XMLDSIG = "http://www.w3.org/2000/09/xmldsig#"
EXC_C14N = "http://www.w3.org/2001/10/xml-exc-c14n#"
XSI = "http://www.w3.org/2001/XMLSchema-instance"

MOST_DECLARATIONS = 16
"""Namespace declarations in one document."""
MOST_ELEMENTS = 50_000
"""Elements in one document."""
DEEPEST = 32
"""Elements on one path, the root included."""
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
MOST_ODD_SPACES = 32
"""Different long runs of white space between tags that are not plain indentation."""

_PARSER = etree.XMLParser(
    encoding="utf-8",
    resolve_entities=False,
    no_network=True,
    load_dtd=False,
    dtd_validation=False,
    attribute_defaults=False,
    huge_tree=False,
    recover=False,
    ns_clean=False,
    remove_blank_text=False,
    remove_comments=False,
    remove_pis=False,
    decompress=False,
)

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
_TAG = re.compile(rb"<[^>]*")  # without its end: a tag that has none is not well-formed
_STRICT_TAG = re.compile(
    rb"</?(?:([A-Za-z_][\w.-]{0,63}):)?([A-Za-z_][\w.-]{0,99})"
    rb"((?:%s+%s)*)%s*/?" % (_SPACE, _ATTRIBUTE.pattern, _SPACE)
)
_CHARACTER_DATA = re.compile(rb"<!\[CDATA\[.*?\]\]>", re.DOTALL)
_BAD_REFERENCE = re.compile(rb"&(?!(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#x[0-9A-Fa-f]{1,6});)")
_PREFIX = re.compile(rb"xmlns:([\w.-]+)")
_INDENT = re.compile(rb"[\r\n]*(?: *|\t*)")
_LONG_SPACE = re.compile(rb">(%s{16,})(?=<)" % _SPACE)
_OURS = re.compile(rb"urn:nld:schuldhulp-gateway:[a-z][a-z0-9-]*:v[1-9][0-9]{0,3}")
_FOREIGN = frozenset({XMLDSIG.encode(), EXC_C14N.encode(), XSI.encode()})
_CONTRACT_NAME = re.compile(rb'name="([A-Za-z][\w.-]*)"')
_SIGNATURE_NAMES = frozenset(
    b"Signature SignedInfo CanonicalizationMethod SignatureMethod Reference Transforms Transform"
    b" DigestMethod DigestValue SignatureValue KeyInfo KeyName KeyValue RSAKeyValue Modulus"
    b" Exponent X509Data X509Certificate X509SubjectName X509IssuerSerial X509IssuerName"
    b" X509SerialNumber".split()
)

_TOO_DEEP = etree.XPath(f"boolean({'/*' * (DEEPEST + 1)})")
_ASIDES = (etree.Comment, etree.PI, etree.Entity)
_ALL_ATTRIBUTES = etree.XPath(f"(//@*)[position() <= {MOST_ATTRIBUTES + 1}]")
_SCHEMA_LOCATION = f"{{{XSI}}}schemaLocation"
_SIGNATURE_ATTRIBUTES = frozenset({"Id", "Algorithm", "URI", "Type"})
_ATTRIBUTE_NAMES = frozenset(name.encode() for name in _SIGNATURE_ATTRIBUTES)
_SIGNATURE_TAG = f"{{{XMLDSIG}}}"


def parse(body: bytes) -> etree._Element:
    """Read one message, or refuse it.

    Returns:
        The root of a document in UTF-8 without DOCTYPE, entities, comments and
        processing instructions, with our namespaces and those of XMLDSig only, and
        with no attributes but ``xsi:schemaLocation`` on the root and those of XMLDSig.

    Raises:
        Refusal: DOCTYPE_VERBODEN for a document type or an entity; XML_ONGELDIG for
            all else, with a rule word and, where the parser knows it, a line.

    Source: design decision 13; Digikoppeling WUS WS006 (UTF-8).
    """
    _judge_encoding(body)
    _judge_markup(body)
    _judge_tags(body)
    root = _read(body)
    _judge_tree(root)
    return root


def _refuse(rule: str, line: int | None = None, code: Code = Code.XML_ONGELDIG) -> Refusal:
    return Refusal(code, Finding(rule, "", line))


def _judge_encoding(body: bytes) -> None:
    if b"\0" in body:  # also every UTF-16 or UTF-32 text with one ASCII character
        raise _refuse("codering")
    if not body.isascii():
        try:
            body.decode("utf-8")
        except UnicodeDecodeError:
            raise _refuse("codering") from None


def _judge_markup(body: bytes) -> None:
    # one byte is found much sooner than two, and most messages have neither
    if b"!" in body and b"<!" in body:
        # These cannot occur in text, where "<" is escaped; in CDATA we refuse them too.
        if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
            raise _refuse("doctype", code=Code.DOCTYPE_VERBODEN)
        if b"<!--" in body:
            raise _refuse("commentaar")
        # an opening that nothing closes would make the search for its end quadratic
        if body.rfind(b"<![CDATA[") > body.rfind(b"]]>"):
            raise _refuse("welgevormd")
    start = 3 if body.startswith(b"\xef\xbb\xbf") else 0
    if b"<?" in body:
        declaration = _DECLARATION.match(body, start)
        if declaration is None:
            raise _refuse("xml-declaratie")
        rest = declaration.end()
        if body.find(b"?", rest) != -1 and body.find(b"<?", rest) != -1:
            raise _refuse("verwerkingsinstructie")
    if len(body) > 2 * MOST_ELEMENTS and body.count(b"<") > 2 * MOST_ELEMENTS:
        raise _refuse("aantal-elementen")
    # Exclusive C14N repeats a declaration wherever its prefix is first used, so long or
    # many declarations are a bomb (measured: 130 kB of them make 500 MB). A document
    # cannot declare a namespace without these five bytes: no DTD, and UTF-8 only.
    if body.count(b"xmlns") > MOST_DECLARATIONS:
        raise _refuse("aantal-naamruimten")


def _judge_tags(body: bytes) -> None:
    """Let only tags through that we know, so that the parser stores nothing else.

    Every ``<`` must begin a whole, ordinary tag. Character data is blanked by something
    that cannot be inside a tag, so that nothing hides between its marks.
    """
    markup = _CHARACTER_DATA.sub(b">", body) if b"<![CDATA[" in body else body
    tags = set(_TAG.findall(markup)) - _plain_tags()
    prefixes = frozenset(_PREFIX.findall(b" ".join(tags)))
    strange: set[bytes] = set()
    for tag in tags:
        if tag.startswith(b"<?"):
            continue  # the declaration, judged before
        try:
            prefix, name = _name_in_tag(tag)
        except Refusal as refusal:
            place = _line(body, body.find(tag))
            raise _refuse(refusal.findings[0].rule, place) from None
        if name is None or (prefix is not None and prefix not in prefixes):
            strange.add(tag.partition(b" ")[0])
    if len(strange) > MOST_STRANGE_NAMES:
        raise _refuse("namen")
    if b"&" in markup and (found := _BAD_REFERENCE.search(markup)):
        raise _refuse("welgevormd", _line(markup, found.start()))
    spaces = set(_LONG_SPACE.findall(markup))
    if sum(_INDENT.fullmatch(space) is None for space in spaces) > MOST_ODD_SPACES:
        raise _refuse("witruimte")


def _name_in_tag(tag: bytes) -> tuple[bytes | None, bytes | None]:
    """Judge one tag; returns its prefix, and its name where the contract has it."""
    # Most tags of most messages are the same few; long ones would fill the memory.
    return _read_tag(tag) if len(tag) <= LONGEST_KEPT_TAG else _read_tag.__wrapped__(tag)


@lru_cache(maxsize=4096)
def _read_tag(tag: bytes) -> tuple[bytes | None, bytes | None]:
    if len(tag) > LONGEST_TAG:
        raise _refuse("tag-lengte")
    found = _STRICT_TAG.fullmatch(tag)
    if found is None:
        raise _refuse("welgevormd")
    for name, one, other in _ATTRIBUTE.findall(found[3]):
        value = one or other
        if len(value) > LONGEST_ATTRIBUTE:
            raise _refuse("attribuut-lengte")
        if name == b"xmlns" or name.startswith(b"xmlns:"):
            if value not in _FOREIGN and _OURS.fullmatch(value) is None:
                raise _refuse("naamruimte")
        elif name not in _ATTRIBUTE_NAMES and not name.endswith(b":schemaLocation"):
            raise _refuse("attribuut")
    return found[1], found[2] if found[2] in _vocabulary() else None


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
    forms = (b"<%s", b"</%s", b"<%s/")
    names = [*_vocabulary(), *(b"ds:" + name for name in _SIGNATURE_NAMES)]
    return frozenset(form % name for form in forms for name in names)


def _line(body: bytes, place: int) -> int:
    return body.count(b"\n", 0, max(place, 0)) + 1


def _read(body: bytes) -> etree._Element:
    try:
        return etree.fromstring(body, _PARSER)
    except etree.XMLSyntaxError as error:
        # The parser's own text may quote the message, so only its line survives.
        raise _refuse("welgevormd", error.lineno or None) from None


def _judge_tree(root: etree._Element) -> None:
    # The byte checks already exclude most of this; the tree has the last word.
    if root.getroottree().docinfo.internalDTD is not None:
        raise _refuse("doctype", code=Code.DOCTYPE_VERBODEN)
    if (
        root.getprevious() is not None
        or root.getnext() is not None
        or next(root.iter(*_ASIDES), None) is not None
    ):
        raise _refuse("commentaar")
    if _TOO_DEEP(root):
        raise _refuse("diepte")
    _judge_attributes(root)


def _judge_attributes(root: etree._Element) -> None:
    attributes = _ALL_ATTRIBUTES(root)
    if len(attributes) > MOST_ATTRIBUTES:
        raise _refuse("aantal-attributen")
    seen: set[str] = set()
    for attribute in attributes:
        name, element = attribute.attrname, attribute.getparent()
        if len(attribute) > LONGEST_ATTRIBUTE:
            raise _refuse("attribuut-lengte", element.sourceline)
        if not (
            (name in _SIGNATURE_ATTRIBUTES and element.tag.startswith(_SIGNATURE_TAG))
            or (name == _SCHEMA_LOCATION and element is root)
        ):
            raise _refuse("attribuut", element.sourceline)
        if name == "Id":
            if attribute in seen:
                raise _refuse("id-dubbel", element.sourceline)
            seen.add(str(attribute))
