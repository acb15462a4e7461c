"""Why libxml2 says no, as findings: rule and place, never a value or its message.

libxml2 stops at the first misplaced child of an element and words it for programmers. So
the content of each element is compared with the plan here, all of it; from libxml2 come the
facets (patterns, codes, lengths, bounds).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain, islice

from lxml import etree

from gateway.errors import Finding
from gateway.message import Dialect
from gateway.schemas.catalogue import ABSENT, LARGEST_REPORT, Codec
from gateway.schemas.paths import Spot, child_of, finding
from gateway.schemas.plan import Choice, Element, Listing, Record

UNKNOWN = "onbekend-element"
TWICE = "dubbel"
ORDER = "volgorde"
CHOICE = "keuze"
TOO_MANY = "te-veel"

RULES: tuple[tuple[str, str], ...] = (
    ("SCHEMAV_CVC_TYPE_3_1_2", "kind"),
    ("SCHEMAV_CVC_ENUMERATION_VALID", "code"),
    ("SCHEMAV_CVC_LENGTH_VALID", "lengte"),
    ("SCHEMAV_CVC_MINLENGTH_VALID", "lengte"),
    ("SCHEMAV_CVC_MAXLENGTH_VALID", "lengte"),
    ("SCHEMAV_CVC_MININCLUSIVE_VALID", "grens"),
    ("SCHEMAV_CVC_MAXINCLUSIVE_VALID", "grens"),
    ("SCHEMAV_CVC_MINEXCLUSIVE_VALID", "grens"),
    ("SCHEMAV_CVC_MAXEXCLUSIVE_VALID", "grens"),
    ("SCHEMAV_CVC_TOTALDIGITS_VALID", "cijfers"),
    ("SCHEMAV_CVC_FRACTIONDIGITS_VALID", "cijfers"),
    ("SCHEMAV_CVC_PATTERN_VALID", "patroon"),
    ("SCHEMAV_CVC_COMPLEX_TYPE_3_2_1", "attribuut"),
    ("SCHEMAV_CVC_COMPLEX_TYPE_3_2_2", "attribuut"),
    ("SCHEMAV_CVC_COMPLEX_TYPE_2_3", "tekst"),
    ("SCHEMAV_CVC_TYPE_3_1_1", "attribuut"),
    ("SCHEMAV_CVC_DATATYPE_VALID_1_2_1", "type"),
    ("SCHEMAV_CVC_DATATYPE_VALID_1_2_2", "type"),
    ("SCHEMAV_CVC_DATATYPE_VALID_1_2_3", "type"),
)
"""What libxml2 calls it, and our rule. One cause often gives a pair (pattern and type):
of several at one element the uppermost here counts."""

_RANK = {name: number for number, (name, _) in enumerate(RULES)}
_STEP = re.compile(r"(?P<name>[^\[]+)(?:\[(?P<position>[0-9]+)\])?")


def explain(tree: etree._Element, codec: Codec, dialect: Dialect) -> list[Finding]:
    """All that is wrong with a tree that libxml2 refused, in document order.

    Returns:
        At most 100 findings, at most one facet for each element; empty where only libxml2
        knows why (``xsi:nil``, for one).
    """
    facets = _facets(tree, codec)
    walked = _walk(tree, codec.root.element, codec, facets)
    wrong = islice(chain(walked, _off_the_way(facets)), LARGEST_REPORT)
    return [finding(codec, dialect, spot, rule) for spot, rule in wrong]


def _facets(tree: etree._Element, codec: Codec) -> dict[etree._Element, str]:
    """For each element that libxml2 names, the one rule that says most."""
    best: dict[etree._Element, int] = {}
    with codec.schema.lock:
        codec.schema.explaining.validate(tree)
        for entry in codec.schema.explaining.error_log:
            rank = _RANK.get(entry.type_name)
            if rank is not None and entry.path:
                node = _resolve(tree, entry.path)
                best[node] = min(rank, best.get(node, rank))
                if len(best) == LARGEST_REPORT:
                    break
    return {node: RULES[rank][1] for node, rank in best.items()}


def _resolve(tree: etree._Element, path: str) -> etree._Element:
    """The node that a path of libxml2 (``/*/*[3]/x:y[2]``) means."""
    node = tree
    for step in path.split("/")[2:]:
        match = _STEP.fullmatch(step)
        if match is None or step.startswith("@"):
            return node
        position = int(match["position"] or 1) - 1
        if match["name"] == "*":
            node = node[position]
        else:
            node = [child for child in node if _written(child) == match["name"]][position]
    return node


def _written(node: etree._Element) -> str:
    name: str = etree.QName(node).localname
    return f"{node.prefix}:{name}" if node.prefix else name


Wrong = tuple[Spot, str]


def _walk(
    node: etree._Element, place: Element, codec: Codec, facets: dict[etree._Element, str]
) -> Iterator[Wrong]:
    if (rule := facets.pop(node, None)) is not None:
        yield Spot(node), rule
    if isinstance(place.type, Record):
        yield from _record(node, place, place.type, codec, facets)
    elif isinstance(place.type, Listing):
        yield from _listing(node, place.type, codec, facets)


def _off_the_way(facets: dict[etree._Element, str]) -> Iterator[Wrong]:
    """What the walk did not come by; it takes from the facets what it meets."""
    yield from ((Spot(node), rule) for node, rule in facets.items())


def _record(
    node: etree._Element,
    place: Element,
    record: Record,
    codec: Codec,
    facets: dict[etree._Element, str],
) -> Iterator[Wrong]:
    part_of = {
        branch: number
        for number, part in enumerate(record.parts)
        for branch in (part.branches if isinstance(part, Choice) else (part,))
    }
    seen: dict[int, Element] = {}
    furthest = 0
    for child in node:
        element = child_of(place, child, codec)
        if element is None:
            yield Spot(child), UNKNOWN
            continue
        number = part_of[element]
        if number in seen:
            yield Spot(child), TWICE if seen[number] is element else CHOICE
        elif number < furthest:
            yield Spot(child), ORDER
        seen.setdefault(number, element)
        furthest = max(furthest, number)
        yield from _walk(child, element, codec, facets)
    for number, part in enumerate(record.parts):
        if part.required and number not in seen:
            missing = (part.name, part.json) if isinstance(part, Element) else None
            yield Spot(node, missing), ABSENT if missing else CHOICE


def _listing(
    node: etree._Element, listing: Listing, codec: Codec, facets: dict[etree._Element, str]
) -> Iterator[Wrong]:
    tag = f"{{{codec.root.namespace}}}{listing.item.name}"
    count = 0
    for child in node:
        if child.tag != tag:
            yield Spot(child), UNKNOWN
            continue
        count += 1
        if listing.most is not None and count > listing.most:
            yield Spot(child), TOO_MANY
            return
        yield from _walk(child, listing.item, codec, facets)
    if count < listing.least:
        yield Spot(node, (listing.item.name, str(count))), ABSENT
