"""The moves of a conversation, read from ``gesprek.toml`` once and checked whole.

Pure: the file is read at start, and what it says is looked up by kind.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gateway.errors import Code, Fault
from gateway.routing.guards import CONDITIONS, GUARDS
from gateway.routing.kern import TAKEN
from gateway.routing.stand import BEEINDIGD, NIEUW, Soort

GESPREK = Path(__file__).with_name("gesprek.toml")

KLOK = "klok"
EVERY, RUNNING, EITHER = "*", "+", "*"
SIDES = frozenset({"shv", "se", KLOK, EITHER})
FROM_THE_MESSAGE = "="

CODE_MEMBERS: Mapping[str, str] = MappingProxyType(
    {
        "BetaalvoorstelAntwoord": "besluit",
        "GeenMedewerking": "reden",
        "IncassopauzeAntwoord": "resultaat",
        "KennisgevingAntwoord": "antwoord",
        "RegelingBeeindigd": "reden",
        "StatusberichtSe": "status",
        "StatusberichtShv": "status",
    }
)
"""Where the code stands on which rows may depend (``als``), by kind."""


@dataclass(frozen=True, slots=True)
class Rij:
    """One move. The fields are explained at the top of ``gesprek.toml``."""

    soort: tuple[str, ...]
    zegt: str
    van: tuple[str, ...]
    bron: str
    als: tuple[str, ...] = ()
    wanneer: tuple[str, ...] = ()
    naar: str | None = None
    opent: bool = False
    vraag: bool = False
    antwoord_op: tuple[str, ...] = ()
    beantwoordt: tuple[str, ...] = ()
    laat_open: bool = False
    vervangt: tuple[str, ...] = ()
    eist: tuple[str, ...] = ()
    weigert: Code | None = None
    merkt: tuple[str, ...] = ()
    ontmerkt: tuple[str, ...] = ()
    verleent: str | None = None
    kern: str | None = None
    reden: str | None = None
    term: Soort | None = None
    intrekking: bool = False

    def holds(self, staat: str) -> bool:
        """This move may be made in this state."""
        if staat in self.van:
            return True
        if staat == BEEINDIGD:
            return False
        return EVERY in self.van or (RUNNING in self.van and staat != NIEUW)

    def states(self, staten: Collection[str]) -> list[str]:
        """Every state in which it may be made, in the order of the table."""
        return [each for each in staten if self.holds(each)]


@dataclass(frozen=True, slots=True)
class Table:
    """Every state with what it means, and every move by kind, in the order of the file.

    Attributes:
        status_codes: What a Statusverzoek is answered, by state.
        read_kern: Kinds that are held against the sealed part, or add to it.
    """

    staten: Mapping[str, str]
    rows: Mapping[str, tuple[Rij, ...]]
    status_codes: Mapping[str, str]
    read_kern: frozenset[str]

    def moves(self) -> Iterator[Rij]:
        """Every move, once."""
        seen: set[int] = set()
        for rows in self.rows.values():
            for row in rows:
                if id(row) not in seen:
                    seen.add(id(row))
                    yield row


@cache
def read(path: Path = GESPREK) -> Table:
    """Read the table; that of this gateway unless another is given.

    Raises:
        Fault: the file cannot be read or contradicts itself; it names the row and the key.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Fault(f"gesprek: {path.name} cannot be read: {error}") from error
    staten = data.get("staten", {})
    if not {NIEUW, BEEINDIGD} <= staten.keys() or not data.get("rij"):
        raise Fault("gesprek: the table has no states or no rows: nobody could say anything")
    status_codes = data.get("statusantwoord", {})
    _only(status_codes, staten, "statusantwoord", "state")
    rows: dict[str, list[Rij]] = {}
    for number, given in enumerate(data["rij"], start=1):
        row = _row(given, f"rij {number}", staten)
        for soort in row.soort:
            rows.setdefault(soort, []).append(row)
    return Table(
        MappingProxyType(staten),
        MappingProxyType({soort: tuple(found) for soort, found in rows.items()}),
        MappingProxyType(status_codes),
        frozenset(
            soort
            for soort, found in rows.items()
            if any(row.eist or row.kern or row.wanneer for row in found)
        ),
    )


_KEYS = frozenset(each.name for each in fields(Rij))
_LISTS = frozenset(
    {
        "soort",
        "van",
        "als",
        "wanneer",
        "antwoord_op",
        "beantwoordt",
        "vervangt",
        "eist",
        "merkt",
        "ontmerkt",
    }
)


def _row(given: Mapping[str, Any], where: str, staten: Collection[str]) -> Rij:
    _only(given.keys(), _KEYS, where, "key")
    for name in ("soort", "zegt", "van", "bron"):
        if not given.get(name):
            raise Fault(f"gesprek: {where}: {name} is missing")
    made: dict[str, Any] = {
        name: tuple(each) if isinstance(each, list) else each for name, each in given.items()
    }
    for name in _LISTS:
        if name in made and not isinstance(made[name], tuple):
            raise Fault(f"gesprek: {where}: {name} must be a list")
    _only([given["zegt"]], SIDES, where, "side")
    _only(made["van"], {*staten, EVERY, RUNNING}, where, "state")
    _only([made["naar"]] if "naar" in made else [], staten, where, "state")
    _only(made.get("wanneer", ()), CONDITIONS, where, "condition")
    _only(made.get("eist", ()), GUARDS, where, "guard")
    _only([made["kern"]] if "kern" in made else [], TAKEN, where, "kern")
    if "weigert" in made:
        _only([made["weigert"]], Code.__members__, where, "code")
        made["weigert"] = Code[made["weigert"]]
    if "term" in made:
        _only([made["term"]], [each.value for each in Soort], where, "term")
        made["term"] = Soort(made["term"])
    if (made.get("naar") == BEEINDIGD) != ("reden" in made):
        raise Fault(f"gesprek: {where}: an end has a reden, and nothing else has")
    return Rij(**made)


def _only(given: Collection[str], known: Collection[str], where: str, what: str) -> None:
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise Fault(f"gesprek: {where}: unknown {what} {', '.join(unknown)}")
