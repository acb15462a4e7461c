"""The one hardened parser: are these bytes XML that we are willing to look at?

Everything that could make a later step expensive or ambiguous is refused here: other
encodings, document types, comments, foreign namespaces, odd attributes, deep nesting.
What can be judged from the bytes is judged before the parser sees them.
"""

from __future__ import annotations

import re
from itertools import islice

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
MOST_ASSIGNMENTS = 1_000
"""Places that look like an attribute, text included; before the parser stores them."""
LONGEST_ATTRIBUTE = 4096
"""Characters in one attribute."""

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
_ASSIGNMENT = re.compile(rb"""=[ \t\r\n]*["']""")
_NAMESPACE = re.compile(rb"xmlns(?=[ \t\r\n]*=|:)")
_NAMESPACE_VALUE = re.compile(
    rb"""xmlns(?::[\w.-]{1,64})?[ \t\r\n]{0,8}=[ \t\r\n]{0,8}(["'])([^"'<&]{1,100})\1"""
)
_OURS = re.compile(rb"urn:nld:schuldhulp-gateway:[a-z][a-z0-9-]*:v[1-9][0-9]{0,3}")
_FOREIGN = frozenset({XMLDSIG.encode(), EXC_C14N.encode(), XSI.encode()})

_TOO_DEEP = etree.XPath(f"boolean({'/*' * (DEEPEST + 1)})")
_ASIDES = etree.XPath("boolean(//comment()|//processing-instruction())")
_ATTRIBUTES = etree.XPath(f"(//@*)[position() <= {MOST_ATTRIBUTES + 1}]")
_SCHEMA_LOCATION = f"{{{XSI}}}schemaLocation"
_SIGNATURE_ATTRIBUTES = frozenset({"Id", "Algorithm", "URI", "Type"})
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
    _judge_namespaces(body)
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
    # These cannot occur in text, where "<" is escaped; in CDATA we refuse them too.
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise _refuse("doctype", code=Code.DOCTYPE_VERBODEN)
    if b"<!--" in body:
        raise _refuse("commentaar")
    start = 3 if body.startswith(b"\xef\xbb\xbf") else 0
    if b"<?" in body:
        declaration = _DECLARATION.match(body, start)
        if declaration is None:
            raise _refuse("xml-declaratie")
        if body.find(b"<?", declaration.end()) != -1:
            raise _refuse("verwerkingsinstructie")
    if body.count(b"<") > 2 * MOST_ELEMENTS:
        raise _refuse("aantal-elementen")
    if next(islice(_ASSIGNMENT.finditer(body), MOST_ASSIGNMENTS, None), None) is not None:
        raise _refuse("aantal-attributen")


def _judge_namespaces(body: bytes) -> None:
    # Exclusive C14N repeats a declaration wherever its prefix is first used, so long or
    # many declarations are a bomb (measured: 130 kB of them make 500 MB). A document
    # cannot declare a namespace without these five bytes: no DTD, and UTF-8 only.
    if body.count(b"xmlns") > MOST_DECLARATIONS:
        raise _refuse("aantal-naamruimten")
    for found in _NAMESPACE.finditer(body):
        declared = _NAMESPACE_VALUE.match(body, found.start())
        if declared is None:
            raise _refuse("naamruimte")
        name = declared[2]
        if name not in _FOREIGN and _OURS.fullmatch(name) is None:
            raise _refuse("naamruimte")


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
    if root.getprevious() is not None or root.getnext() is not None or _ASIDES(root):
        raise _refuse("commentaar")
    if _TOO_DEEP(root):
        raise _refuse("diepte")
    _judge_attributes(root)


def _judge_attributes(root: etree._Element) -> None:
    attributes = _ATTRIBUTES(root)
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
