"""Reads versions.toml and binds it to the plans of both versions of a module."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gateway.message import Json, Kind
from gateway.schemas.plan import Choice, Element, Listing, Record, Root, Type
from gateway.schemas.reader import ContractError
from gateway.schemas.versions import Each, Kept, Pair, Part, Steps, Versions

VERSIONS_FILE = Path(__file__).parent / "versions.toml"

IMPOSSIBLE = "onmogelijk"


def read_versions(roots: Mapping[Kind, Root], path: Path = VERSIONS_FILE) -> Versions:
    """The rows of a file, bound to the plans of the two versions.

    A row about a module of which a version is not among ``roots`` is passed over.

    Raises:
        ContractError: a row names what is not in the XSDs, or the older version holds
            something for which the newer one has another type.
    """
    newest: dict[str, int] = {}
    for kind in roots:
        newest[kind.module] = max(newest.get(kind.module, 0), kind.major)
    pairs = [
        _pair(roots, module, row)
        for module in tomllib.loads(path.read_text("utf-8"))["module"]
        if {(module["naam"], module["oud"]), (module["naam"], module["nieuw"])}
        <= {(kind.module, kind.major) for kind in roots}
        for row in module["soort"]
    ]
    return Versions(
        newest=newest,
        by_old={pair.old.kind: pair for pair in pairs},
        by_new={(pair.new.kind, pair.old.kind.major): pair for pair in pairs},
    )


def _pair(roots: Mapping[Kind, Root], module: Json, row: Json) -> Pair:
    old = roots.get(Kind(module["naam"], module["oud"], row["oud"]))
    new = roots.get(Kind(module["naam"], module["nieuw"], row["nieuw"]))
    if old is None or new is None:
        raise ContractError(f"versions: {row['oud']} or {row['nieuw']} does not exist")
    named = {name: tuple(place.split("/")) for name, place in row.get("plaats", {}).items()}
    moved = {each.json: named.get(each.json, (each.json,)) for each in old.record.elements()}
    if unknown := named.keys() - moved.keys():
        raise ContractError(f"versions: {old.kind} has no {', '.join(sorted(unknown))}")
    meant = {tuple(each["plaats"].split("/")): each for each in row.get("vul", ())}
    kept = Part()
    for part in old.record.parts:
        _keep(kept, part, new.record, moved)
    for place, each in meant.items():
        _element_at(new.record, place)
        holder = _holder(kept, place)
        holder.meant[place[-1]] = each["waarde"]
        if each["anders"] == IMPOSSIBLE:
            holder.telling.add(place[-1])
    sources: dict[Steps, tuple[str | None, Any]] = {
        place: (name, None) for name, place in moved.items()
    }
    sources |= {place: (None, each["waarde"]) for place, each in meant.items()}
    up = tuple((place, *sources[place]) for place in _in_order(new.record, sources))
    return Pair(old, new, up, tuple(moved.items()), kept)


def _in_order(record: Record, wanted: Mapping[Steps, Any], at: Steps = ()) -> Iterator[Steps]:
    """The wanted places, in the order of the newer version."""
    for element in record.elements():
        place = (*at, element.json)
        if place in wanted:
            yield place
        elif isinstance(element.type, Record):
            yield from _in_order(element.type, wanted, place)


def _keep(top: Part, part: Element | Choice, record: Record, moved: Mapping[str, Steps]) -> None:
    """Note what the newer version has for one part of a record of the older one."""
    branches = (part,) if isinstance(part, Element) else part.branches
    for element in branches:
        place = moved[element.json]
        there = _element_at(record, place)
        _holder(top, place).below[place[-1]] = _kept(element.type, there.type)
    if not part.required:
        return
    if isinstance(part, Choice):
        top.needed.append(tuple(moved[each.json][0] for each in branches))
        return
    place = moved[part.json]
    for depth, step in enumerate(place):
        holder = _holder(top, place[: depth + 1])
        if (step,) not in holder.needed:
            holder.needed.append((step,))


def _holder(top: Part, place: Steps) -> Part:
    """The object that has the member at this place, made where it is not there yet."""
    for step in place[:-1]:
        below = top.below.setdefault(step, Part())
        if not isinstance(below, Part):
            raise ContractError(f"versions: {'/'.join(place)} lies in what both versions share")
        top = below
    return top


def _element_at(record: Record, place: Steps) -> Element:
    node: Type = record
    found: Element | None = None
    for step in place:
        found = node.child(step) if isinstance(node, Record) else None
        if found is None:
            break
        node = found.type
    if found is None:
        raise ContractError(f"versions: {record.name} has no {'/'.join(place)}")
    return found


def _kept(old: Type, new: Type) -> Kept:
    if old is new:
        return None
    if isinstance(old, Listing) and isinstance(new, Listing):
        item = _kept(old.item.type, new.item.type)
        return None if item is None else Each(item)
    if isinstance(old, Record) and isinstance(new, Record):
        part = Part()
        names = {element.json: (element.json,) for element in old.elements()}
        for each in old.parts:
            _keep(part, each, new, names)
        return part
    raise ContractError(f"versions: {old.name} and {new.name} are not the same")
