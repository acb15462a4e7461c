"""JSON Schema 2020-12 of each message kind, made from the plans.

Says the same as the XSD, except for what JSON Schema has no word for: that a date exists
in the calendar (``format`` asks for it, but validators need not look).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations

from gateway.message import Json
from gateway.schemas.decode import STUURGEGEVENS
from gateway.schemas.plan import (
    Carrier,
    Choice,
    Element,
    Form,
    Listing,
    Note,
    Record,
    Root,
    Simple,
    Type,
)

DIALECT = "https://json-schema.org/draft/2020-12/schema"
FORMATS = {"date": "date", "dateTime": "date-time"}

BASE64 = (
    "^(?:[0-9A-Za-z+/]{4})*"
    "(?:[0-9A-Za-z+/]{4}|[0-9A-Za-z+/]{2}[AEIMQUYcgkosw048]=|[0-9A-Za-z+/][AQgw]==)$"
)
"""What xs:base64Binary itself demands: whole groups, and no bits set after the last byte."""

_WHOLE = re.compile(r"(?P<zero>0\|)?\[1-9\](?:\[0-9\]\{0,(?P<more>[0-9]+)\})?")
"""The one shape in which the contract writes integers without leading zeros."""


def schema_of(root: Root) -> Json:
    """The schema of one message kind, complete in itself."""
    element, kind = root.element, root.kind
    types = {node.name: node for node in _types(element.type)}
    return {
        "$schema": DIALECT,
        "$id": f"{root.namespace}:json:{kind.name}",
        "title": f"{kind.module} v{kind.major} {kind.name}",
        **_note(element.note, element.marks),
        "type": "object",
        "required": [element.json],
        "additionalProperties": False,
        "properties": {element.json: {"$ref": _ref(element.type), **_held(root)}},
        "$defs": {name: definition(node) for name, node in sorted(types.items())},
    }


def definition(node: Type) -> Json:
    """One type, with references to the types that it uses."""
    if isinstance(node, Simple):
        return _simple(node)
    if isinstance(node, Carrier):
        return {**_note(node.note), "type": "object", "minProperties": 1, "maxProperties": 1}
    if isinstance(node, Listing):
        most = {} if node.most is None else {"maxItems": node.most}
        return {
            **_note(node.note),
            "type": "array",
            "minItems": node.least,
            **most,
            "items": _property(node.item),
        }
    return _record(node)


def _types(node: Type) -> Iterator[Type]:
    yield node
    if isinstance(node, Listing):
        yield from _types(node.item.type)
    elif isinstance(node, Record):
        for element in node.elements():
            yield from _types(element.type)


def _ref(node: Type) -> str:
    return f"#/$defs/{node.name}"


def _held(root: Root) -> Json:
    """Module and versie as the namespace of the XML would say them."""
    header = next((e for e in root.record.elements() if e.name == STUURGEGEVENS), None)
    if header is None:
        return {}
    told = {
        "module": {"const": root.kind.module},
        "versie": {"pattern": f"^{root.kind.major}\\."},
    }
    return {"properties": {header.json: {"properties": told}}}


def _record(node: Record) -> Json:
    required = [e.json for e in node.parts if isinstance(e, Element) and e.required]
    choices = [_choice(part) for part in node.parts if isinstance(part, Choice)]
    return {
        **_note(node.note),
        "type": "object",
        **({"required": required} if required else {}),
        "additionalProperties": False,
        "properties": {element.json: _property(element) for element in node.elements()},
        **({"allOf": choices} if choices else {}),
    }


def _choice(choice: Choice) -> Json:
    names = [branch.json for branch in choice.branches]
    if choice.required:
        return {"oneOf": [{"required": [name]} for name in names]}
    pairs = [{"required": list(pair)} for pair in combinations(names, 2)]
    return {"not": pairs[0] if len(pairs) == 1 else {"anyOf": pairs}}


def _property(element: Element) -> Json:
    return {"$ref": _ref(element.type), **_note(element.note, element.marks)}


def _note(note: Note, marks: frozenset[str] = frozenset()) -> Json:
    told: Json = {}
    if note.text:
        told["description"] = note.text
    if note.herkomst:
        told["x-herkomst"] = note.herkomst
    if marks or note.marks:
        told["x-merken"] = sorted(marks | note.marks)
    return told


def _simple(node: Simple) -> Json:
    note = _note(node.note)
    if node.form is Form.BOOLEAN:
        return {**note, "type": "boolean"}
    if node.form is Form.CENTS:
        largest = 10 ** int(node.facet("totalDigits") or 15) - 1
        return {**note, "type": "integer", "minimum": -largest, "maximum": largest}
    if node.form is Form.INTEGER:
        least, largest = whole_range(node)
        return {**note, "type": "integer", "minimum": least, "maximum": largest}
    if node.codes:
        codes = [{"waarde": code.value, **_note(code.note)} for code in node.codes]
        values = [code.value for code in node.codes]
        return {**note, "type": "string", "enum": values, "x-codes": codes}
    return {**note, "type": "string", **_text(node)}


def _text(node: Simple) -> Json:
    told: Json = {}
    least, most = node.facet("minLength"), node.facet("maxLength")
    patterns = [f"^(?:{pattern})$" for pattern in node.patterns]
    if node.base in FORMATS:
        told["format"] = FORMATS[node.base]
    if node.base == "base64Binary":
        told["contentEncoding"] = "base64"
        patterns.append(BASE64)
        # the facets count bytes, JSON Schema counts characters: 4 for each 3 bytes begun
        least, most = (bound and str(-(-int(bound) // 3) * 4) for bound in (least, most))
    if exact := node.facet("length"):
        least = most = exact
    if least is not None:
        told["minLength"] = int(least)
    if most is not None:
        told["maxLength"] = int(most)
    if len(patterns) == 1:
        told["pattern"] = patterns[0]
    elif patterns:
        told["allOf"] = [{"pattern": pattern} for pattern in patterns]
    return told


def whole_range(node: Simple) -> tuple[int, int]:
    """Least and largest value of an integer type, from its patterns and bounds.

    Raises:
        ValueError: the type is written in a shape that the contract does not use.
    """
    ranges = []
    for pattern in node.patterns:
        match = _WHOLE.fullmatch(pattern)
        if match is None:
            raise ValueError(f"{node.name}: cannot read a range from {pattern}")
        ranges.append((0 if match["zero"] else 1, 10 ** (int(match["more"] or 0) + 1) - 1))
    least, largest = node.facet("minInclusive"), node.facet("maxInclusive")
    if least is not None:
        ranges.append((int(least), 2**53 - 1))
    if largest is not None:
        ranges.append((-(2**53) + 1, int(largest)))
    if not ranges:
        raise ValueError(f"{node.name}: an integer without bounds")
    return max(low for low, _ in ranges), min(high for _, high in ranges)
