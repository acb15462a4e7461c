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
        decoder = _leaf(_text_reader(node))
    elif isinstance(node, Carrier):
        decoder = _carrier(carried)
    elif isinstance(node, Listing):
        decoder = _listing(_compile(node.item, namespace, carried, made))
    else:
        children = {
            f"{{{namespace}}}{child.name}": _member(child, namespace, carried, made)
            for child in node.elements()
        }
        decoder = _record(children)
    made[key] = decoder
    return decoder


TextReader = Callable[[str | None], Any]
Member = tuple[str, TextReader | None, Decoder]
"""Of a child: its JSON name, and how to read it: by its text alone where it is a leaf."""


def _member(
    element: Element, namespace: str, carried: Decoder, made: dict[tuple[str, Type], Decoder]
) -> Member:
    node = element.type
    text_reader = _text_reader(node) if isinstance(node, Simple) else None
    return element.json, text_reader, _compile(element, namespace, carried, made)


def _record(children: dict[str, Member]) -> Decoder:
    def read(node: etree._Element) -> Json:
        content = {}
        for child in node[:]:  # quicker than an iterator
            name, text_reader, decode = children[child.tag]
            content[name] = decode(child) if text_reader is None else text_reader(child.text)
        return content

    return read


def _leaf(text_reader: TextReader) -> Decoder:
    return lambda leaf: text_reader(leaf.text)


def _listing(item: Decoder) -> Decoder:
    return lambda node: [item(child) for child in node[:]]


def _carrier(carried: Decoder) -> Decoder:
    return lambda node: carried(node[0])


def _text_reader(node: Simple) -> TextReader:
    if node.form is Form.CENTS:
        # exactly two decimals (contract rule 4): without the point it is cents
        return lambda text: int((text or "").replace(".", ""))
    if node.form is Form.INTEGER:
        return lambda text: int(text or "")
    if node.form is Form.BOOLEAN:
        return lambda text: (text or "").strip() == "true"
    if node.name == IDENTIFIER:
        return lambda text: collapsed(text).lower()
    return collapsed if node.collapse else _as_it_is


def _as_it_is(text: str | None) -> str:
    return text or ""


def collapsed(text: str | None) -> str:
    """XSD's ``whiteSpace=collapse``: only XML's four white space characters count."""
    if not text:
        return ""
    # nearly always there is nothing to do; quick on 4 MiB of base64 too
    if text.isprintable() and "  " not in text and text[0] != " " and text[-1] != " ":
        return text
    return _SPACE.sub(" ", text).strip(" ")
