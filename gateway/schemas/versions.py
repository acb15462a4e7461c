"""Two live versions of a module: the same message in the other one.

What differs is data (versions.toml); what the older version has no place for follows from
the XSDs. Pure. All pointers are JSON pointers into the document of the newer version: names
and numbers, never values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.message import Json, Kind
from gateway.schemas.decode import STUURGEGEVENS
from gateway.schemas.names import json_name
from gateway.schemas.plan import Root

XSD_FOLDER = Path(__file__).parent / "xsd"

HEADER = json_name(STUURGEGEVENS)

Steps = tuple[str, ...]
"""JSON names on the way down from the body of a message."""


@dataclass(frozen=True, slots=True)
class Older:
    """A message in the older version.

    Attributes:
        lost: Where the document of the newer version says what is not in this one.
    """

    kind: Kind
    document: Json
    lost: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unsayable:
    """The older version cannot say this message, whatever may be left out.

    Attributes:
        why: Where the newer document says what makes it so, or lacks what the older
            version demands; at least one.
        lost: Where it says what would be left out besides.
    """

    why: tuple[str, ...]
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Each:
    """A list: every item is kept as ``item`` says."""

    item: Kept


@dataclass(slots=True)
class Part:
    """An object of the newer version, with what the older one can say of it.

    Attributes:
        below: Its members that the older version knows, by name.
        needed: Of each of these groups the older version demands one member.
        meant: What the older version means by saying nothing, by name.
        telling: Names whose other values make the message unsayable.
    """

    below: dict[str, Kept] = field(default_factory=dict)
    needed: list[Steps] = field(default_factory=list)
    meant: dict[str, Any] = field(default_factory=dict)
    telling: set[str] = field(default_factory=set)


Kept = Part | Each | None
"""How much of a value is kept; None: all, the two versions share its type."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One message kind in both versions, with the way up and the way down.

    Attributes:
        up: In the order of the newer version: (place, member of the old body, value where
            there is no such member).
        down: In the order of the older version: (member of the old body, place).
    """

    old: Root
    new: Root
    up: tuple[tuple[Steps, str | None, Any], ...]
    down: tuple[tuple[str, Steps], ...]
    kept: Part


@dataclass(frozen=True, slots=True)
class Versions:
    """Every message kind that lives in two versions.

    Attributes:
        newest: The newest major version of each module.
    """

    newest: Mapping[str, int]
    by_old: Mapping[Kind, Pair]
    by_new: Mapping[tuple[Kind, int], Pair]

    def upcast(self, document: Json, kind: Kind) -> tuple[Kind, Json]:
        """The message in the newest version of its module; itself where it is that already.

        Nothing is lost. The document is not changed, but the result shares parts with it.
        """
        pair = self.by_old.get(kind)
        if pair is None:
            return kind, document
        (body,) = document.values()
        made: Json = {}
        for place, member, meant in pair.up:
            value = meant if member is None else body.get(member)
            if value is not None:
                _put(made, place, value)
        return pair.new.kind, _said_in(pair.new, made)

    def downcast(self, document: Json, kind: Kind, major: int) -> Older | Unsayable:
        """The message in an older version of its module, as far as that can say it.

        A version that does not exist can say nothing. Sharing is as in ``upcast``.
        """
        ((root, body),) = document.items()
        pair = self.by_new.get((kind, major))
        if pair is None:
            return Unsayable((f"/{root}",))
        loss = _Loss()
        kept = _prune(pair.kept, body, f"/{root}", loss)
        if loss.why:
            return Unsayable(tuple(loss.why), tuple(loss.lost))
        made = {
            member: value
            for member, place in pair.down
            if (value := _value_at(kept, place)) is not None
        }
        return Older(pair.old.kind, _said_in(pair.old, made), tuple(loss.lost))


def place_as_sent(pointer: str, pair: Pair) -> str:
    """Where an older message says what its newest form says at this pointer.

    The pointer itself where that is nowhere, or where it does not point into the newest form.
    """
    root, *steps = pointer.split("/")[1:]
    if root == pair.new.element.json:
        for member, place in pair.down:
            if tuple(steps[: len(place)]) == place:
                return "/".join(["", pair.old.element.json, member, *steps[len(place) :]])
    return pointer


def _said_in(root: Root, body: Json) -> Json:
    header = {**body[HEADER], "versie": root.version}
    return {root.element.json: {**body, HEADER: header}}


def _put(body: Json, place: Steps, value: Any) -> None:
    for step in place[:-1]:
        body = body.setdefault(step, {})
    body[place[-1]] = value


def _value_at(body: Json | None, place: Steps) -> Any:
    value: Any = body
    for step in place:
        if value is None:
            return None
        value = value.get(step)
    return value


@dataclass(slots=True)
class _Loss:
    """What one walk finds; ``why`` stays empty where the message can be said."""

    lost: list[str] = field(default_factory=list)
    why: list[str] = field(default_factory=list)


def _prune(part: Part, body: Json, at: str, loss: _Loss) -> Json:
    """What is kept of the body; ``loss.why`` says where that is not enough."""
    kept = _object(part, body, at, loss)
    loss.why += [f"{at}/{group[0]}" for group in _absent(part, kept)]
    loss.lost = [each for each in loss.lost if each not in loss.why]
    return kept


def _object(part: Part, value: Json, at: str, loss: _Loss) -> Json:
    kept = {}
    for name, member in value.items():
        here = f"{at}/{name}"
        if name in part.below:
            said = _member(part.below[name], member, here, loss)
            if said is not None:
                kept[name] = said
        elif name not in part.meant:
            loss.lost.append(here)
        elif member != part.meant[name]:
            (loss.why if name in part.telling else loss.lost).append(here)
    return kept


def _member(node: Kept, value: Any, at: str, loss: _Loss) -> Any:
    """What is kept of a value; None where the older version can say nothing of it."""
    if node is None:
        return value
    before = len(loss.lost)
    said = (
        _items(node, value, at, loss) if isinstance(node, Each) else _whole(node, value, at, loss)
    )
    if said is None:
        loss.lost[before:] = [at]
    return said


def _items(node: Each, value: list[Any], at: str, loss: _Loss) -> list[Any] | None:
    said = [_member(node.item, item, f"{at}/{number}", loss) for number, item in enumerate(value)]
    return None if None in said else said


def _whole(part: Part, value: Json, at: str, loss: _Loss) -> Json | None:
    kept = _object(part, value, at, loss)
    return None if _absent(part, kept) else kept


def _absent(part: Part, kept: Json) -> list[Steps]:
    return [group for group in part.needed if not any(name in kept for name in group)]


def live_versions(folder: Path = XSD_FOLDER) -> frozenset[tuple[str, int]]:
    """Every module with a major version of it that a message may be in, by the file names."""
    names = (path.stem.rpartition("-v") for path in folder.glob("*-v*.xsd"))
    return frozenset((module, int(major)) for module, _, major in names)
