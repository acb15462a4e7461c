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
from gateway.schemas.plan import Carrier, Choice, Element, Form, Listing, Record, Root, Simple, Type

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
        decoder = _record(node, namespace, carried, made)
    made[key] = decoder
    return decoder


TextReader = Callable[[str], Any]
Member = tuple[str, TextReader | None, Decoder | None, Any]
"""Of a child of a record: its JSON name; how its text is read, None for as it is; how it is
read where it is no leaf; and the member that must come next, None where another may."""


def _record(
    record: Record, namespace: str, carried: Decoder, made: dict[tuple[str, Type], Decoder]
) -> Decoder:
    members: dict[str, Member] = {}
    first: Member | None = None
    for part in reversed(record.parts):
        following, first = first, None
        for child in part.branches if isinstance(part, Choice) else (part,):
            node, text_reader, decode = child.type, None, None
            if isinstance(node, Simple):
                text_reader = _text_reader(node)
            else:
                decode = _compile(child, namespace, carried, made)
            member = (child.json, text_reader, decode, following)
            members[f"{{{namespace}}}{child.name}"] = member
            first = member if child.required else None

    def read(node: etree._Element) -> Json:
        content: Json = {}
        following = first
        children = node[:]  # quicker than an iterator
        for child in children:
            # a child's name costs more than all else: it is not asked where the XSD allows but one
            name, text_reader, decode, following = following or members[child.tag]
            if decode is not None:
                content[name] = decode(child)
            elif text_reader is None:
                content[name] = child.text or ""
            else:
                content[name] = text_reader(child.text or "")
        # nothing but these children gave these names: no comment, which the XSD does not see
        if len(content) != len(children):
            raise ValueError(record.name)
        return content

    return read


def _leaf(text_reader: TextReader | None) -> Decoder:
    if text_reader is None:
        return lambda leaf: leaf.text or ""
    return lambda leaf: text_reader(leaf.text or "")


def _listing(item: Decoder) -> Decoder:
    return lambda node: [item(child) for child in node[:]]


def _carrier(carried: Decoder) -> Decoder:
    return lambda node: carried(node[0])


def _text_reader(node: Simple) -> TextReader | None:
    """How the text of a leaf is read; None: as it is."""
    if node.form is Form.CENTS:
        # exactly two decimals (contract rule 4): without the point it is cents
        return lambda text: int(text.replace(".", ""))
    if node.form is Form.INTEGER:
        return int
    if node.form is Form.BOOLEAN:
        return lambda text: text.strip() == "true"
    if node.name == IDENTIFIER:
        return lambda text: collapsed(text).lower()
    return collapsed if node.collapse else None


def collapsed(text: str | None) -> str:
    """XSD's ``whiteSpace=collapse``: only XML's four white space characters count."""
    if not text:
        return ""
    # nearly always there is nothing to do; quick on 4 MiB of base64 too
    if text.isprintable() and "  " not in text and text[0] != " " and text[-1] != " ":
        return text
    return _SPACE.sub(" ", text).strip(" ")
