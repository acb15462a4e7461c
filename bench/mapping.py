"""What does the document say, as JSON? The mapping of the contestants that are not the gateway.

Written for the one kind that the bench sends, so it costs less than a mapping for all kinds.
"""

from __future__ import annotations

from typing import Any

from lxml import etree

LISTS = frozenset({"Vorderingen"})
FLAGS = frozenset({"Zakelijk", "Betwist"})
AMOUNTS = frozenset({"OorspronkelijkeVordering", "Rente", "Incassokosten", "Saldo", "TotaalSaldo"})

_names: dict[str, tuple[str, str]] = {}


def mapped(root: etree._Element) -> dict[str, Any]:
    """The whole document: lowerCamelCase names, amounts in cents, lists as arrays."""
    _, name = _known(root.tag)
    return {name: _children(root)}


def _children(element: etree._Element) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for child in element:
        local, name = _known(child.tag)
        if local in LISTS:
            found[name] = [_children(one) for one in child]
        elif len(child):
            found[name] = _children(child)
        elif local in AMOUNTS:
            found[name] = int(child.text.replace(".", ""))  # the schema asks for two decimals
        elif local in FLAGS:
            found[name] = child.text == "true"
        else:
            found[name] = child.text
    return found


def _known(tag: str) -> tuple[str, str]:
    """The local name and the JSON name of an element."""
    known = _names.get(tag)
    if known is None:
        local = tag.rpartition("}")[2]
        name = local[0].lower() + local[1:] + ("InCenten" if local in AMOUNTS else "")
        known = _names[tag] = (local, name)
    return known
