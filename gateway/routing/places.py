"""Where something stands in a message, in the form in which its sender wrote."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.message import Canonical, Dialect

_XML_NAMES = {"bsn": "BSN"}
"""Members whose XML name is not their JSON name with a capital."""


def in_header(message: Canonical, member: str) -> str:
    """The place of a member of the Stuurgegevens, present or not."""
    return place(message, ("stuurgegevens", member))


def place(message: Canonical, steps: Sequence[str]) -> str:
    """The place at these JSON names below the root.

    For members that are named as such in the contract; the steps hold no positions.
    """
    if message.verified.received.dialect is Dialect.XML:
        names = (_XML_NAMES.get(step, step[:1].upper() + step[1:]) for step in steps)
        return "/".join(["", message.kind.name, *names])
    return "/".join(["", next(iter(message.document)), *steps])
