"""XML to canonical JSON, by closures compiled once per type.

Works on trees that satisfy the XSD; the checks are not made again here. Lossless: what is
not carried over is white space between elements, white space that the type itself says
is not part of the value, and the letter case of identifiers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from lxml import etree

from gateway.message import Json
from gateway.schemas.plan import Carrier, Element, Form, Listing, Root, Simple, Type

Decoder = Callable[[etree._Element], Any]  # noqa: SLF001 - lxml's name for its type

STUURGEGEVENS = "Stuurgegevens"
IDENTIFIER = "Uuid"
"""The type of identifiers. The same one in capitals names the same thing, so the canonical
form has one way to write it: lower case (design decision 5)."""

_SPACE = re.compile(r"[ \t\n\r]+")


def compile_decoder(
    root: Root, carried: Decoder, made: dict[tuple[str, Type], Decoder]
) -> Callable[[etree._Element], Json]:
    """How to read one message kind.

    Args:
        carried: Reads a whole message of any kind (for ``Aflevering/Bericht``).
        made: Decoders made before, by namespace and type; this call adds to it.
    """
    read = _compile(root.element, root.namespace, carried, made)
    name = root.element.json
    return lambda tree: {name: read(tree)}


def _compile(
    element: Element, namespace: str, carried: Decoder, made: dict[tuple[str, Type], Decoder]
) -> Decoder:
    node, key = element.type, (namespace, element.type)
    if key in made:
        return made[key]
    if isinstance(node, Simple):
        decoder = _lower(_simple(node)) if node.name == IDENTIFIER else _simple(node)
    elif isinstance(node, Carrier):
        decoder = _carrier(carried)
    elif isinstance(node, Listing):
        decoder = _listing(_compile(node.item, namespace, carried, made))
    else:
        children = {
            f"{{{namespace}}}{child.name}": (
                child.json,
                _compile(child, namespace, carried, made),
            )
            for child in node.elements()
        }
        decoder = _record(children)
    made[key] = decoder
    return decoder


def _record(children: dict[str, tuple[str, Decoder]]) -> Decoder:
    def read(node: etree._Element) -> Json:
        content = {}
        for child in node:
            name, decode = children[child.tag]
            content[name] = decode(child)
        return content

    return read


def _listing(item: Decoder) -> Decoder:
    return lambda node: [item(child) for child in node]


def _carrier(carried: Decoder) -> Decoder:
    return lambda node: carried(node[0])


def _simple(node: Simple) -> Decoder:
    if node.form is Form.CENTS:
        # exactly two decimals (contract rule 4): without the point it is cents
        return lambda leaf: int(leaf.text.replace(".", ""))
    if node.form is Form.INTEGER:
        return lambda leaf: int(leaf.text)
    if node.form is Form.BOOLEAN:
        return lambda leaf: leaf.text.strip() == "true"
    return _collapsed if node.collapse else _as_it_is


def _as_it_is(leaf: etree._Element) -> str:
    return leaf.text or ""


def _collapsed(leaf: etree._Element) -> str:
    return collapsed(leaf.text or "")


def collapsed(text: str) -> str:
    """XSD's ``whiteSpace=collapse``: only XML's four white space characters count."""
    if " " not in text and text.isprintable():  # nearly always; quick on 4 MiB of base64 too
        return text
    return _SPACE.sub(" ", text).strip(" ")


def _lower(read: Decoder) -> Decoder:
    return lambda leaf: read(leaf).lower()
