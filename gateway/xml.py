"""The one hardened parser: are these bytes XML that we are willing to look at?

Everything that could make a later step expensive or ambiguous is refused here: other
encodings, document types, comments, foreign namespaces, odd attributes, deep nesting.
What can be judged from the bytes is judged before the parser sees them (``markup``).
"""

from __future__ import annotations

from lxml import etree

from gateway import markup
from gateway.errors import Code
from gateway.markup import LONGEST_ATTRIBUTE, MOST_ATTRIBUTES, XMLDSIG, XSI, refuse

DEEPEST = 32
"""Elements on one path, the root included."""

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

_TOO_DEEP = etree.XPath(f"boolean({'/*' * (DEEPEST + 1)})")
_ASIDES = (etree.Comment, etree.PI, etree.Entity)
_ALL_ATTRIBUTES = etree.XPath(f"(/descendant::*/@*)[position() <= {MOST_ATTRIBUTES + 1}]")
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
    seen = markup.judge(body)
    root = _read(body)
    # Where the bytes leave room for doubt, the tree has the last word.
    if not seen.bare:
        _judge_asides(root)
    if _TOO_DEEP(root):
        raise refuse("diepte")
    if not seen.plain:
        _judge_attributes(root)
    return root


def _read(body: bytes) -> etree._Element:
    try:
        return etree.fromstring(body, _PARSER)
    except etree.XMLSyntaxError as error:
        # The parser's own text may quote the message, so only its line survives.
        raise refuse("welgevormd", error.lineno or None) from None


def _judge_asides(root: etree._Element) -> None:
    if root.getroottree().docinfo.internalDTD is not None:
        raise refuse("doctype", code=Code.DOCTYPE_VERBODEN)
    if (
        root.getprevious() is not None
        or root.getnext() is not None
        or next(root.iter(*_ASIDES), None) is not None
    ):
        raise refuse("commentaar")


def _judge_attributes(root: etree._Element) -> None:
    attributes = _ALL_ATTRIBUTES(root)
    if len(attributes) > MOST_ATTRIBUTES:
        raise refuse("aantal-attributen")
    seen: set[str] = set()
    for attribute in attributes:
        name, element = attribute.attrname, attribute.getparent()
        if len(attribute) > LONGEST_ATTRIBUTE:
            raise refuse("attribuut-lengte", element.sourceline)
        if not (
            (name in _SIGNATURE_ATTRIBUTES and element.tag.startswith(_SIGNATURE_TAG))
            or (name == _SCHEMA_LOCATION and element is root)
        ):
            raise refuse("attribuut", element.sourceline)
        if name == "Id":
            if attribute in seen:
                raise refuse("id-dubbel", element.sourceline)
            seen.add(str(attribute))
