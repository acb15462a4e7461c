"""Where something is: an XPath in XML, a pointer in JSON, and the way between them.

Only names of the contract are ever shown. What a sender invented is ``*``: an unknown
name is content.
"""

from __future__ import annotations

from dataclasses import dataclass

from lxml import etree

from gateway.errors import Finding, Severity
from gateway.message import Dialect
from gateway.schemas.catalogue import Codec
from gateway.schemas.plan import Element, Listing, Record


@dataclass(frozen=True, slots=True)
class Spot:
    """A node of the tree, or a child of it that is not there.

    Attributes:
        missing: Step to the absent child as (XML name, JSON step).
    """

    node: etree._Element
    missing: tuple[str, str] | None = None


def finding(
    codec: Codec, dialect: Dialect, spot: Spot, rule: str, severity: Severity = Severity.WEIGER
) -> Finding:
    """A finding at a spot, in the form in which the sender wrote."""
    xml, json = spot.missing or ("", "")
    if dialect is Dialect.XML:
        path = xpath_of(spot.node, codec) + (f"/{xml}" if xml else "")
        return Finding(rule, path, spot.node.sourceline, severity)
    path = pointer_of(spot.node, codec) + (f"/{json}" if json else "")
    return Finding(rule, path, None, severity)


def xpath_of(node: etree._Element, codec: Codec) -> str:
    """``/Kennisgeving/Vorderingen/Vordering[2]/Saldo``; a position where there are more."""
    step = _step(node, codec)
    parent = node.getparent()
    return f"{'' if parent is None else xpath_of(parent, codec)}/{step}"


def _step(node: etree._Element, codec: Codec) -> str:
    parent, name = node.getparent(), etree.QName(node)
    if name.namespace != codec.root.namespace or name.localname not in codec.schema.xml_names:
        return "*" if parent is None else f"*[{parent.index(node) + 1}]"
    before = sum(1 for _ in node.itersiblings(node.tag, preceding=True))
    more = before or next(node.itersiblings(node.tag), None) is not None
    return f"{name.localname}[{before + 1}]" if more else name.localname


def pointer_of(node: etree._Element, codec: Codec) -> str:
    """The JSON pointer of a node in a tree that was made from JSON."""
    line = [node, *node.iterancestors()]
    place = codec.root.element
    pointer = f"/{place.json}"
    for each in reversed(line[:-1]):
        if isinstance(place.type, Listing):
            pointer += f"/{each.getparent().index(each)}"
            place = place.type.item
        else:
            child = child_of(place, each, codec)
            if child is None:  # inside a carried message: the pointer to it is exact enough
                return pointer
            pointer += f"/{child.json}"
            place = child
    return pointer


def child_of(place: Element, node: etree._Element, codec: Codec) -> Element | None:
    """What the plan says of a child of a record; None where it does not know it."""
    if not isinstance(place.type, Record):
        return None
    name = etree.QName(node)
    if name.namespace != codec.root.namespace:
        return None
    return next((e for e in place.type.elements() if e.name == name.localname), None)


def spot_at(tree: etree._Element, pointer: str, codec: Codec) -> Spot:
    """Where a pointer into the canonical document is in the tree it came from."""
    node, place = tree, codec.root.element
    for step in pointer.split("/")[2:]:
        if isinstance(place.type, Listing):
            node, place = node[int(step)], place.type.item
            continue
        child = place.type.child(step) if isinstance(place.type, Record) else None
        if child is None:
            break
        found = node.find(f"{{{codec.root.namespace}}}{child.name}")
        if found is None:
            return Spot(node, (child.name, child.json))
        node, place = found, child
    return Spot(node)
