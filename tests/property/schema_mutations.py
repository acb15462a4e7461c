"""Ways in which a valid message goes wrong, for the tests that compare verdicts."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from lxml import etree

from gateway.message import Json

Draw = Callable[[st.SearchStrategy[Any]], Any]

TEXTS = (
    "", " ", "x", "X ", " X", "\xa0", "a\nb", "a\tb", "a  b", "-1", "0", "00", "1.0", "1.00",
    "-0.00", "0.005", "+1", "1e3", "NaN", "true", "True", "1", "yes", "A", "ANDERS", "=", "QUI=",
    "QQ==", "Qf==", "QQ", "Q Q==", "é", "😀", "９", "2026-02-30", "2026-02-28", "0000-01-01",
    "2026-02-28Z", "2026-02-30T10:00:00Z", "2026-02-28T24:00:00Z", "2026-02-28T10:00:00",
    "2026-02-28T10:00:60Z", "9" * 9, "9" * 40, "NL91ABNA0417164300", "1234AB", "/", "a@b.nl",
)  # fmt: skip
"""Texts that are right in one place and wrong in most."""

VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 1.0, 0.5, 10**20, -(10**13), [], {}, ["x"], {"x": 1}, "\x00",
    "\ud800", "\ufffe", "a\rb", *TEXTS,
)  # fmt: skip


def broken_xml(draw: Draw, tree: etree._Element) -> etree._Element:
    """A copy of the tree with one thing done to it."""
    tree = copy.deepcopy(tree)
    node = draw(st.sampled_from([each for each in tree.iter() if each is not tree]))
    change = draw(st.sampled_from(XML_CHANGES))
    change(draw, node)
    return tree


def _drop(draw: Draw, node: etree._Element) -> None:
    node.getparent().remove(node)


def _duplicate(draw: Draw, node: etree._Element) -> None:
    node.addnext(copy.deepcopy(node))


def _reorder(draw: Draw, node: etree._Element) -> None:
    parent = node.getparent()
    parent.insert(draw(st.integers(0, len(parent) - 1)), node)


def _rename(draw: Draw, node: etree._Element) -> None:
    others = sorted({each.tag for each in node.getroottree().getroot().iter()})
    node.tag = draw(st.sampled_from([*others, "Vreemd", "{urn:vreemd}Vreemd"]))


def _retext(draw: Draw, node: etree._Element) -> None:
    leaves = [each for each in node.getroottree().getroot().iter() if len(each) == 0]
    draw(st.sampled_from(leaves)).text = draw(st.sampled_from(TEXTS))


def _text_between(draw: Draw, node: etree._Element) -> None:
    node.tail = draw(st.sampled_from((" ", "\n", "x", "\xa0")))


def _attribute(draw: Draw, node: etree._Element) -> None:
    node.set(draw(st.sampled_from(("x", "{urn:vreemd}x"))), "1")


XML_CHANGES = (_drop, _duplicate, _reorder, _rename, _retext, _retext, _text_between, _attribute)


def broken_json(draw: Draw, document: Json, names: list[str]) -> Json:
    """A copy of the document with one thing done to it.

    Args:
        names: Member names of the contract, to put where they do not belong.
    """
    document = copy.deepcopy(document)
    holder, key = draw(st.sampled_from(_holders(next(iter(document.values())))))
    change = draw(st.sampled_from(("drop", "replace", "replace", "add", "repeat", "empty")))
    if change == "drop":
        del holder[key]
    elif change == "add" and isinstance(holder, dict):
        name = draw(st.one_of(st.just("vreemd"), st.sampled_from(names)))
        holder[name] = draw(st.sampled_from(VALUES))
    elif change == "repeat" and isinstance(holder[key], list):
        holder[key] = holder[key] * draw(st.sampled_from((2, 20, 200)))
    elif change == "empty" and isinstance(holder[key], list | dict):
        holder[key] = type(holder[key])()
    else:
        holder[key] = draw(st.sampled_from(VALUES))
    return document


def _holders(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key or index) in a document."""
    if isinstance(value, dict):
        steps = list(value)
    elif isinstance(value, list):
        steps = list(range(len(value)))
    else:
        return []
    return [(value, step) for step in steps] + [
        found for step in steps for found in _holders(value[step])
    ]
