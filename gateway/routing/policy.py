"""The rights as they stand in ``rechten.toml``: read once, kept as look-ups.

Pure: nothing is allowed that no row names, and a file without rows is refused.
"""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gateway.errors import Fault
from gateway.message import Kind

RIGHTS = Path(__file__).with_name("rechten.toml")

GATEWAY_ROLE = "gateway"
"""The role of the gateway itself; no party of the directory can have it."""

GATEWAY_MODULE = "gateway"
"""The module of what the gateway itself says; every party takes part in it."""

CREDITORS = "schuldeiser"
"""The side that claims are of; who acts for another does so on this side."""

_SIDES = frozenset({"hulp", CREDITORS, GATEWAY_ROLE})
_SENDS, _GETS = "verzendt", "ontvangt"
_TABLES = frozenset({"rol", "recht", "variant", "uitleg"})
_ROLE_KEYS = frozenset({"naam", "kant", "namens"})
_RIGHT_KEYS = frozenset({"rollen", "module", "richting", "soorten", "bijlage"})
_VARIANT_KEYS = frozenset({"soort", "zonder_bsn"})

Said = tuple[str, str]
"""A module and the name of a kind: rights do not differ between versions."""

_Table = defaultdict[Said, dict[str, str | None]]


@dataclass(frozen=True, slots=True)
class Role:
    """One role.

    Attributes:
        side: A conversation is between two different sides.
        for_another: Who has this role always acts for somebody else.
    """

    side: str
    for_another: bool


@dataclass(frozen=True, slots=True)
class Policy:
    """Who may say what, to whom, with which attachment.

    Attributes:
        sends: By module and kind: the roles that may send it, each with the soort of the
            attachment that it must bring, or None.
        gets: By module and kind: the roles that may receive it.
        variants: By kind: the kind that says the same without a burgerservicenummer.
        texts: By key: what a person reads in Dutch and in English, with names to fill in.
    """

    roles: Mapping[str, Role]
    sends: Mapping[Said, Mapping[str, str | None]]
    gets: Mapping[Said, frozenset[str]]
    variants: Mapping[str, str]
    texts: Mapping[str, tuple[str, str]]

    def senders(self, kind: Kind) -> Mapping[str, str | None]:
        """The roles that may send this kind, with what each must attach."""
        return self.sends.get((kind.module, kind.name), {})

    def recipients(self, kind: Kind) -> frozenset[str]:
        """The roles that may get this kind."""
        return self.gets.get((kind.module, kind.name), frozenset())

    def modules_of(self, name: str, roles: Iterable[str]) -> list[str]:
        """The modules in which one of these roles may send a kind of this name."""
        mine = frozenset(roles)
        return sorted(
            module for (module, each), by in self.sends.items() if each == name and mine & by.keys()
        )

    def explain(self, key: str, **names: str) -> tuple[str, str]:
        """What a person reads, in Dutch and in English."""
        nl, en = self.texts[key]
        return nl.format(**names), en.format(**names)


def read(text: str | None = None) -> Policy:
    """Read the rights; those of this gateway unless others are given.

    Raises:
        Fault: there are none, a row says something unknown, or two rows contradict each other.
    """
    data = tomllib.loads(RIGHTS.read_text(encoding="utf-8") if text is None else text)
    _known(data, _TABLES)
    roles = {each["naam"]: _role(each) for each in data.get("rol", ())}
    sends: _Table = defaultdict(dict)
    gets: _Table = defaultdict(dict)
    for row in data.get("recht", ()):
        _right(row, roles)
        table = sends if row["richting"] == _SENDS else gets
        for name in row["soorten"]:
            _grant(table[row["module"], name], row, name)
    if not sends or not gets:
        raise Fault("rechten: nobody may say anything; the file has no rows")
    return Policy(
        roles=MappingProxyType(roles),
        sends=MappingProxyType({said: MappingProxyType(by) for said, by in sends.items()}),
        gets=MappingProxyType({said: frozenset(by) for said, by in gets.items()}),
        variants=MappingProxyType(dict(_variant(each) for each in data.get("variant", ()))),
        texts=MappingProxyType(
            {key: (each["nl"], each["en"]) for key, each in data.get("uitleg", {}).items()}
        ),
    )


def _role(row: Mapping[str, Any]) -> Role:
    _known(row, _ROLE_KEYS)
    if row["kant"] not in _SIDES:
        raise Fault(f"rechten: {row['naam']} is on no known side")
    return Role(row["kant"], row.get("namens", False))


def _right(row: Mapping[str, Any], roles: Mapping[str, Role]) -> None:
    _known(row, _RIGHT_KEYS)
    if unknown := set(row["rollen"]) - roles.keys():
        raise Fault(f"rechten: unknown roles: {', '.join(sorted(unknown))}")
    if row["richting"] not in {_SENDS, _GETS}:
        raise Fault(f"rechten: richting is {_SENDS} or {_GETS}")
    if "bijlage" in row and row["richting"] != _SENDS:
        raise Fault("rechten: only who sends brings a bijlage")


def _grant(to: dict[str, str | None], row: Mapping[str, Any], name: str) -> None:
    for role in row["rollen"]:
        if role in to:
            raise Fault(f"rechten: two rows for {role} {row['richting']} {row['module']} {name}")
        to[role] = row.get("bijlage")


def _variant(row: Mapping[str, Any]) -> tuple[str, str]:
    _known(row, _VARIANT_KEYS)
    return row["soort"], row["zonder_bsn"]


def _known(table: Mapping[str, Any], names: frozenset[str]) -> None:
    if unknown := table.keys() - names:
        raise Fault(f"rechten: unknown are {', '.join(sorted(unknown))}")
