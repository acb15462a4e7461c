"""By when must somebody answer? The lengths of terms, as data.

Pure: the file is read once. Lengths and their arithmetic are those of ``gateway.routing.lengths``;
which length is for whom, and who says so, is in ``termijnen.toml``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from gateway.calendar import Calendar
from gateway.errors import Fault
from gateway.routing.lengths import (
    Length,
    Unit,
    ends_at,
    local_day,
    reminders,
    tot_en_met,
)

__all__ = [
    "TERMIJNEN",
    "Length",
    "Pauze",
    "Row",
    "TermBook",
    "Unit",
    "Voorstel",
    "ends_at",
    "local_day",
    "read",
    "reminders",
    "tot_en_met",
]

TERMIJNEN = Path(__file__).with_name("termijnen.toml")

_KEYS = {
    "termijn": ("lengte", "verschuift", "convenant", "module", "soorten", "bron"),
    "voorstel": ("convenant", "lengte", "hoogstens", "verschuift", "bron"),
    "pauze": ("convenant", "maanden", "bron"),
    "niet_opgehaald": ("lengte", "verschuift", "bron"),
    "geldigheid_saldo": ("lengte", "verschuift", "bron"),
    "bezwaar": ("convenant", "lengte", "verschuift", "bron"),
}
"""What may be in each table."""

_LONGEST_PAUSE = 24
_LISTS = ("vrije_dagen", "geen_termijn")


@dataclass(frozen=True, slots=True)
class Row:
    """One length, for which messages it is, and who says so; None means any."""

    convenant: str | None
    module: str | None
    soort: str | None
    length: Length
    bron: str


@dataclass(frozen=True, slots=True)
class Pauze:
    """How many months collecting stands still under a convenant; None is without one."""

    convenant: str | None
    maanden: int
    bron: str


@dataclass(frozen=True, slots=True)
class Voorstel:
    """How long the SHV has for a proposal, after the balance, under a convenant."""

    convenant: str
    length: Length
    hoogstens: Length
    bron: str


@dataclass(frozen=True, slots=True)
class TermBook:
    """All lengths.

    Attributes:
        rows: By (convenant, module, soort).
        zonder: Kinds that nobody has to answer within a term.
        pauzes: By convenant; None is without one.
        voorstellen: By convenant.
        uncollected: So long a message may lie before its sender is told.
        geldigheid_saldo: So long a balance counts.
        bezwaren: By convenant: the term for objections to a consent in advance; without a
            row there is none.
    """

    rows: Mapping[tuple[str | None, str | None, str | None], Row]
    zonder: frozenset[str]
    pauzes: Mapping[str | None, Pauze]
    voorstellen: Mapping[str, Voorstel]
    uncollected: Length
    geldigheid_saldo: Length
    bezwaren: Mapping[str, Row]
    calendar: Calendar

    @property
    def convenanten(self) -> frozenset[str]:
        """Every convenant that the data names; any other is as if there were none."""
        named = {row.convenant for row in self.rows.values()} | self.pauzes.keys()
        known = frozenset(each for each in named if each is not None)
        return known | self.voorstellen.keys() | self.bezwaren.keys()

    def length(self, *, soort: str, module: str, convenant: str | None) -> Length | None:
        """How long the recipient of such a message has; None where there is no term.

        The convenant with the kind goes before the kind, and that before the module; of two
        rows for a kind the one that names the module.

        Args:
            convenant: That of the creditor, if any.
        """
        if soort in self.zonder:
            return None
        for key in (
            (convenant, module, soort),
            (convenant, None, soort),
            (None, module, soort),
            (None, None, soort),
            (None, module, None),
        ):
            if (row := self.rows.get(key)) is not None:
                return row.length
        return None

    def pauze_maanden(self, convenant: str | None) -> int:
        """How many months collecting stands still under this convenant."""
        return self.pauzes.get(convenant, self.pauzes[None]).maanden

    def voorstel(self, convenant: str | None) -> Voorstel | None:
        """How long the SHV has for a proposal; None where nothing was agreed."""
        return None if convenant is None else self.voorstellen.get(convenant)

    def bezwaar(self, convenant: str | None) -> Length | None:
        """How long the creditor may object to a consent in advance; None where it may not."""
        row = None if convenant is None else self.bezwaren.get(convenant)
        return None if row is None else row.length


def read(path: Path = TERMIJNEN) -> TermBook:
    """Read the lengths; those of this gateway unless others are given.

    Raises:
        Fault: the file cannot be read, or contradicts itself; it names the row and the key.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Fault(f"termijnen: {path.name} cannot be read: {error}") from error
    _only(data, (*_KEYS, *_LISTS), "the file")
    zonder = frozenset(_names(data, "geen_termijn", "the file"))
    rows = {(row.convenant, row.module, row.soort): row for row in _rows(data, zonder)}
    pauzes = {pauze.convenant: pauze for pauze in _pauzes(data)}
    if None not in pauzes:
        raise Fault("termijnen: pauze: one row must be without a convenant")
    return TermBook(
        rows=rows,
        zonder=zonder,
        pauzes=pauzes,
        voorstellen={each.convenant: each for each in _voorstellen(data)},
        uncollected=_single(data, "niet_opgehaald"),
        geldigheid_saldo=_single(data, "geldigheid_saldo"),
        bezwaren={str(row.convenant): row for row in _bezwaren(data)},
        calendar=Calendar(frozenset(_days(data))),
    )


def _rows(data: Mapping[str, Any], zonder: Collection[str]) -> Iterator[Row]:
    seen = set()
    for where, given in _tables(data, "termijn"):
        length, bron = _length(given, "lengte", where), _text(given, "bron", where)
        convenant, module = (_maybe(given, key, where) for key in ("convenant", "module"))
        soorten = _names(given, "soorten", where) if "soorten" in given else (None,)
        if None in soorten and (module is None or convenant is not None):
            raise Fault(f"termijnen: {where}: soorten must say for which kinds this is")
        for soort in soorten:
            key = (convenant, module, soort)
            if key in seen:
                raise Fault(f"termijnen: {where}: soorten: {soort or module} has a length already")
            if soort in zonder:
                raise Fault(f"termijnen: {where}: soorten: {soort} is in geen_termijn too")
            seen.add(key)
            yield Row(convenant, module, soort, length, bron)


def _bezwaren(data: Mapping[str, Any]) -> Iterator[Row]:
    for where, given in _tables(data, "bezwaar"):
        length, bron = _length(given, "lengte", where), _text(given, "bron", where)
        yield Row(_text(given, "convenant", where), None, None, length, bron)


def _pauzes(data: Mapping[str, Any]) -> Iterator[Pauze]:
    seen = set()
    for where, given in _tables(data, "pauze"):
        convenant, maanden = _maybe(given, "convenant", where), given.get("maanden")
        if type(maanden) is not int or not 1 <= maanden <= _LONGEST_PAUSE:
            raise Fault(f"termijnen: {where}: maanden must be 1 to {_LONGEST_PAUSE}")
        if convenant in seen:
            raise Fault(f"termijnen: {where}: convenant: {convenant or 'none'} has a pause already")
        seen.add(convenant)
        yield Pauze(convenant, maanden, _text(given, "bron", where))


def _voorstellen(data: Mapping[str, Any]) -> Iterator[Voorstel]:
    seen = set()
    for where, given in _tables(data, "voorstel"):
        convenant = _text(given, "convenant", where)
        length, most = (_length(given, key, where) for key in ("lengte", "hoogstens"))
        if length.eenheid is not most.eenheid or length.aantal > most.aantal:
            raise Fault(f"termijnen: {where}: hoogstens must be lengte or more, in its unit")
        if convenant in seen:
            raise Fault(f"termijnen: {where}: convenant: {convenant} has a proposal already")
        seen.add(convenant)
        yield Voorstel(convenant, length, most, _text(given, "bron", where))


def _single(data: Mapping[str, Any], name: str) -> Length:
    given = data.get(name)
    if not isinstance(given, dict):
        raise Fault(f"termijnen: {name} must be one table")
    _only(given, _KEYS[name], name)
    _text(given, "bron", name)
    return _length(given, "lengte", name)


def _days(data: Mapping[str, Any]) -> list[date]:
    days = data.get("vrije_dagen")
    if not isinstance(days, list) or any(type(day) is not date for day in days):
        raise Fault("termijnen: the file: vrije_dagen must be a list of days like 2026-05-15")
    return days


def _tables(data: Mapping[str, Any], name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every row of a table, with what to call it, once its keys are known to be right."""
    tables = data.get(name, [])
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        raise Fault(f"termijnen: {name} must be rows, each under [[{name}]]")
    for number, given in enumerate(tables, start=1):
        where = f"{name} {number}"
        _only(given, _KEYS[name], where)
        yield where, given


def _only(given: Mapping[str, Any], known: Collection[str], where: str) -> None:
    if unknown := given.keys() - set(known):
        raise Fault(f"termijnen: {where}: unknown are {', '.join(sorted(unknown))}")


def _length(given: Mapping[str, Any], key: str, where: str) -> Length:
    shifts = given.get("verschuift", False)
    if type(shifts) is not bool:
        raise Fault(f"termijnen: {where}: verschuift must be true or false")
    try:
        length = Length.read(_text(given, key, where))
        return replace(length, verschuift=shifts or length.verschuift)
    except ValueError as error:
        raise Fault(f"termijnen: {where}: {key}: {error}") from error


def _maybe(given: Mapping[str, Any], key: str, where: str) -> str | None:
    return _text(given, key, where) if key in given else None


def _text(given: Mapping[str, Any], key: str, where: str) -> str:
    text = given.get(key)
    if not isinstance(text, str) or not text.strip():
        raise Fault(f"termijnen: {where}: {key} must be a text")
    return text


def _names(given: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    names = given.get(key)
    if not isinstance(names, list) or not all(isinstance(each, str) and each for each in names):
        raise Fault(f"termijnen: {where}: {key} must be a list of kinds")
    if not names and key == "soorten":
        raise Fault(f"termijnen: {where}: {key} must name a kind")
    return tuple(names)
