"""What was published of the contract, and whether today's XSDs still keep to it.

docs/contract.md rule 7: a minor version only adds optional elements at the end of a type,
or codes to lists that say they are open. Anything else is a new namespace.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.message import Json
from gateway.schemas.plan import Choice, Element, Listing, Record, Simple, Type
from gateway.schemas.reader import OPEN, Module

PUBLISHED_FILE = Path(__file__).parent / "gepubliceerd.json"
SHARED = "basis"


def snapshot(modules: Iterable[Module]) -> Json:
    """The structure of the contract: types by name, and the kinds with their types."""
    types: Json = {}
    kinds: Json = {}
    for module in modules:
        home = f"{module.name}-v{module.major}"
        for name, node in module.types.items():
            owner = SHARED if name in module.shared else home
            types.setdefault(owner, {})[name] = _type(node)
        kinds[home] = {root.kind.name: _element(root.element) for root in module.roots}
    return {"kinds": kinds, "types": types}


def _type(node: Type) -> Json:
    if isinstance(node, Simple):
        told: Json = {"base": node.base, "form": node.form.value}
        if node.patterns:
            told["patterns"] = list(node.patterns)
        if node.facets:
            told["facets"] = dict(node.facets)
        if node.codes:
            told["codes"] = sorted(code.value for code in node.codes)
            told[OPEN] = OPEN in node.note.marks
        return told
    if isinstance(node, Listing):
        return {"item": _element(node.item), "least": node.least, "most": node.most}
    if isinstance(node, Record):
        return {"parts": [_part(part) for part in node.parts]}
    return {"carries": "message"}


def _part(part: Element | Choice) -> Json:
    if isinstance(part, Element):
        return _element(part)
    return {"choice": [_element(b) for b in part.branches], "required": part.required}


def _element(element: Element) -> Json:
    return {
        "name": element.name,
        "json": element.json,
        "type": element.type.name,
        "required": element.required,
    }


def breaking_changes(before: Json, now: Json) -> list[str]:
    """Every way in which the contract of now does not keep to what was published.

    Returns:
        One sentence for each change, with the module and the path; empty when all is well.
    """
    changes: list[str] = []
    for home, kinds in before["kinds"].items():
        for name, element in kinds.items():
            current = now["kinds"].get(home, {}).get(name)
            at = f"{home}: /{name}"
            if current is None:
                changes.append(f"{at} is gone")
            else:
                walk = _Walk(_types_of(before, home), _types_of(now, home))
                changes += walk.element(at, element, current)
    return list(dict.fromkeys(changes))


def _types_of(contract: Json, home: str) -> Json:
    return {**contract["types"].get(SHARED, {}), **contract["types"].get(home, {})}


@dataclass(slots=True)
class _Walk:
    """Goes down both contracts at once; each pair of types is compared where first met."""

    before: Json
    now: Json
    seen: set[tuple[str, str]] = field(default_factory=set)

    def element(self, at: str, old: Json, new: Json) -> Iterator[str]:
        if old["json"] != new["json"]:
            yield f"{at} is called {new['json']} in JSON, not {old['json']}"
        if old["required"] != new["required"]:
            yield f"{at} became {'required' if new['required'] else 'optional'}"
        pair = (old["type"], new["type"])
        if pair not in self.seen:
            self.seen.add(pair)
            yield from self.type(at, self.before[pair[0]], self.now[pair[1]])

    def type(self, at: str, old: Json, new: Json) -> Iterator[str]:
        if "parts" in old and "parts" in new:
            yield from self.parts(at, old["parts"], new["parts"])
        elif "item" in old and "item" in new:
            yield from _bounds(at, old, new)
            yield from self.part(f"{at}/{old['item']['name']}", old["item"], new["item"])
        elif "base" in old and "base" in new:
            yield from _simple(at, old, new)
        elif "carries" not in old or "carries" not in new:
            yield f"{at} has another type"

    def parts(self, at: str, old: list[Json], new: list[Json]) -> Iterator[str]:
        was = {_name(part): part for part in old}
        now = {_name(part): part for part in new}
        kept = [name for name in now if name in was]
        yield from (f"{at}/{name} is removed or renamed" for name in was if name not in now)
        if kept != [name for name in was if name in now]:
            yield f"{at} has its elements in another order"
        last = max((number for number, name in enumerate(now) if name in was), default=-1)
        for number, (name, part) in enumerate(now.items()):
            if name in was:
                yield from self.part(f"{at}/{name}", was[name], part)
            elif number < last:
                yield f"{at}/{name} is new and not last in its type"
            elif part["required"]:
                yield f"{at}/{name} is new and required"

    def part(self, at: str, old: Json, new: Json) -> Iterator[str]:
        if "choice" in old:  # the names are equal, so the other is a choice of the same branches
            if old["required"] != new["required"]:
                yield f"{at} became {'required' if new['required'] else 'optional'}"
            above = at.rpartition("/")[0]
            for was, is_now in zip(old["choice"], new["choice"], strict=True):
                yield from self.element(f"{above}/{was['name']}", was, is_now)
        elif old["name"] != new["name"]:
            yield f"{at} is renamed to {new['name']}"
        else:
            yield from self.element(at, old, new)


def _name(part: Json) -> str:
    """What identifies a part of a type: a choice is all its branches, in order."""
    if "choice" in part:
        return "(" + "|".join(branch["name"] for branch in part["choice"]) + ")"
    return str(part["name"])


def _bounds(at: str, old: Json, new: Json) -> Iterator[str]:
    for bound in ("least", "most"):
        if old[bound] != new[bound]:
            yield f"{at} may hold {bound} {_told(new[bound])} items, was {_told(old[bound])}"


def text_of(contract: Json) -> str:
    """The snapshot as JSON with a line for each type, so that a difference reads well."""
    sections = []
    for section, homes in sorted(contract.items()):
        entries = [
            f' "{home}": {{\n'
            + ",\n".join(
                f'  "{name}": {json.dumps(told, ensure_ascii=True, sort_keys=True)}'
                for name, told in sorted(entry.items())
            )
            + "\n }"
            for home, entry in sorted(homes.items())
        ]
        sections.append(f'"{section}": {{\n' + ",\n".join(entries) + "\n}")
    return "{\n" + ",\n".join(sections) + "\n}\n"


def _told(bound: Any) -> str:
    return "any number of" if bound is None else str(bound)


def _simple(at: str, old: Json, new: Json) -> Iterator[str]:
    if (old["base"], old["form"]) != (new["base"], new["form"]):
        yield f"{at} is {new['base']}, was {old['base']}"
    if old.get("patterns") != new.get("patterns"):
        yield f"{at} has another pattern"
    facets = (old.get("facets", {}), new.get("facets", {}))
    for name in sorted({*facets[0], *facets[1]}):
        if facets[0].get(name) != facets[1].get(name):
            yield f"{at} has {name} {facets[1].get(name)}, was {facets[0].get(name)}"
    codes = (set(old.get("codes", ())), set(new.get("codes", ())))
    for code in sorted(codes[0] - codes[1]):
        yield f"{at} lost the code {code}"
    if not old.get(OPEN):
        for code in sorted(codes[1] - codes[0]):
            yield f"{at} got the code {code}, but its list is not open"
    if old.get(OPEN) and not new.get(OPEN):
        yield f"{at} has a list that is no longer open"
