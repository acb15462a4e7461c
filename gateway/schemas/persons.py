"""Whom is a message about? The burgerservicenummers that stand in it, by the marks of the XSDs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from gateway.message import Json, Kind
from gateway.schemas.catalogue import Catalogue
from gateway.schemas.plan import Root, places

MARK = "bsn"

Steps = tuple[str, ...]
PersonsIn = Callable[[Json], frozenset[str]]
"""From a canonical document of one kind to the numbers in it."""


def persons_in(catalogue: Catalogue) -> Mapping[Kind, PersonsIn]:
    """For each kind how its numbers are found, worked out once."""
    return {
        kind: partial(_collect, paths) if (paths := paths_of(codec.root)) else _nobody
        for kind, codec in catalogue.kinds.items()
    }


def persons_of(catalogue: Catalogue) -> Callable[[Kind, bytes], frozenset[str]]:
    """The same on our own canonical bytes; a kind that is no longer known is about nobody."""
    known = persons_in(catalogue)

    def find(kind: Kind, canonical: bytes) -> frozenset[str]:
        return known.get(kind, _nobody)(json.loads(canonical))  # noqa: TID251 - our own bytes

    return find


def paths_of(root: Root) -> tuple[Steps, ...]:
    """Where numbers stand in a document: JSON names from the root, ``*`` for any item."""
    return tuple(
        tuple(place.json.split("/")[1:]) for place in places(root) if MARK in place.element.marks
    )


def _nobody(_: Json) -> frozenset[str]:
    return frozenset()


def _collect(paths: tuple[Steps, ...], document: Json) -> frozenset[str]:
    return frozenset(number for path in paths for number in _at(document, path))


def _at(value: Any, path: Steps) -> Iterator[str]:
    for place, step in enumerate(path):
        if step == "*":
            rest = path[place + 1 :]
            for item in value:
                yield from _at(item, rest)
            return
        value = value.get(step)
        if value is None:
            return
    yield value
