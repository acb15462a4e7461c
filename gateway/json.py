"""The one strict JSON reader: are these bytes a JSON object that reads one way only?

Two readers must not be able to read two things: no duplicate names, no floats, no numbers
beyond what every reader keeps exactly, no text that XML cannot carry.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from gateway.errors import Code, Finding, Refusal
from gateway.message import Json

DEEPEST = 32
"""Objects and arrays on one path, the outermost included."""
LARGEST_INTEGER = 2**53 - 1
"""Beyond this, readers with double-precision numbers differ (RFC 7493 §2.2)."""

MOST_VALUES = 100_000
"""Members, and items, in one document; the same order as the elements of XML."""

# What JSON can escape but XML 1.0 cannot carry, and halves of surrogate pairs.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ESCAPES = ("\\u", "\\b", "\\f")
_NONCHARACTERS = ("\ufffe", "\uffff")


def parse(body: bytes) -> Json:
    """Read one JSON object, or refuse it.

    Raises:
        Refusal: JSON_ONGELDIG with a rule word; never with a value or a place.

    Source: RFC 8259 (UTF-8, no BOM), RFC 7493 (I-JSON).
    """
    # counted before anything is made of them; a colon or comma of a text counts too
    if max(body.count(b":"), body.count(b",")) > MOST_VALUES:
        raise _refusal("aantal")
    text = _text(body)
    try:
        document = _DECODER.decode(text)
    except (ValueError, RecursionError):
        raise _refusal("vorm") from None
    if type(document) is not dict:
        raise _refusal("geen-object")
    _judge_values(document)
    if any(escape in text for escape in _ESCAPES) and any(map(_NOT_XML.search, _texts(document))):
        raise _refusal("teken")
    return document


def _refusal(rule: str) -> Refusal:
    return Refusal(Code.JSON_ONGELDIG, Finding(rule, ""))


def _text(body: bytes) -> str:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise _refusal("codering") from None
    if text.startswith("\ufeff"):  # RFC 8259 §8.1: no byte order mark
        raise _refusal("codering")
    # Raw, only these can be there: the decoder refuses control characters in strings.
    if not text.isascii() and any(character in text for character in _NONCHARACTERS):
        raise _refusal("teken")
    return text


def _object(members: list[tuple[str, object]]) -> Json:
    read = dict(members)
    if len(read) != len(members):
        raise _refusal("dubbele-naam")
    return read


def _no_number(_: str) -> NoReturn:
    raise _refusal("getal")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_float=_no_number,
    parse_constant=_no_number,
)


def _judge_values(document: Json) -> None:
    level: list[Json | list[Any]] = [document]
    for _ in range(DEEPEST):
        below: list[Json | list[Any]] = []
        for node in level:
            for child in node.values() if isinstance(node, dict) else node:
                kind = type(child)
                if kind is dict or kind is list:
                    below.append(child)
                elif kind is int and not -LARGEST_INTEGER <= child <= LARGEST_INTEGER:
                    raise _refusal("getal")
        if not below:
            return
        level = below
    raise _refusal("diepte")


def _texts(document: Json) -> Iterator[str]:
    waiting: list[Any] = [document]
    while waiting:
        node = waiting.pop()
        if isinstance(node, str):
            yield node
        elif isinstance(node, dict):
            waiting.extend(node)
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
