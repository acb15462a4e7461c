"""JSON names: the lowerCamelCase of the XSD names (docs/contract.md rule 6)."""

from __future__ import annotations

import re

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+|[0-9]+")
"""Runs of capitals are one word; the last capital before a small letter starts the next."""

CENTS_SUFFIX = "InCenten"


def json_name(name: str) -> str:
    """``KlantnummerSEVolgensSHV`` becomes ``klantnummerSeVolgensShv``."""
    first, *rest = _WORD.findall(name)
    return str(first).lower() + "".join(word.capitalize() for word in rest)
