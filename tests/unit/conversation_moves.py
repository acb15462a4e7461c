"""Holds a table of moves against the reading of the rules in ``conversation_moves.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from fixtures.documents import merge
from fixtures.world import SE, SHV
from gateway.errors import Refusal
from gateway.message import Json, Oin
from gateway.routing.conversation import Move, expired, running
from gateway.routing.kern import Kern
from gateway.routing.stand import BEEINDIGD, NIEUW, Stand, Stap, Status
from gateway.routing.table import Table
from tests.unit.talking import AT, CONSENT, agreed, body_of, move, question, standing, term

EXPECTED = Path(__file__).with_name("conversation_moves.toml")

QUESTIONS: Mapping[str, Oin] = {
    "Kennisgeving": SHV,
    "KennisgevingPubliek": SHV,
    "Saldoverzoek": SHV,
    "Betaalvoorstel": SHV,
    "Heroverweging": SHV,
    "Uitbetaling": SHV,
    "Statusverzoek": SE,
    "Navraag": SHV,
    "Intrekking": SHV,
    "CollectieveMelding": SHV,
    "IncassopauzeVerzoek": SHV,
    "IncassopauzeVerlenging": SHV,
    "CrisisMelding": SHV,
}
"""Every kind that asks something, and who asks it here unless either may."""

NEW = "nieuw"
EARLIER = "eerder"
UNTIL = date(2026, 3, 27)
ELSEWHERE = "apart"
MARKS = frozenset({"verouderd", "schatting"})


@dataclass(frozen=True)
class Zet:
    """One event, with what comes of it in every state."""

    soort: str
    zegt: str
    uit: Mapping[str, str]
    als: str | None = None
    met: tuple[str, ...] = ()
    op: tuple[str, ...] = ()
    vraagt: bool = False
    laat_open: bool = False
    verleent: bool = False
    beantwoordt: str | None = None
    verdringt: tuple[str, ...] = ()
    merkt: tuple[str, ...] = ()
    ontmerkt: tuple[str, ...] = ()
    termijn: str | None = None
    reden: str | None = None
    kern: tuple[str, ...] = ()

    @property
    def speakers(self) -> tuple[Oin, ...]:
        return {"shv": (SHV,), "se": (SE,), "beide": (SHV, SE)}[self.zegt]

    def outcome(self, staat: str) -> str:
        """What comes of it in a state."""
        for told, states in self.uit.items():
            if told != "anders" and staat in states.split():
                return told
        if self.zegt != "klok" and staat == BEEINDIGD:
            return "weigert GESPREK_BEEINDIGD"
        if self.op and staat == NIEUW:
            return "weigert VRAAG_ONBEKEND"
        return self.uit.get("anders", ELSEWHERE)

    def __str__(self) -> str:
        return " ".join(filter(None, (self.zegt, self.soort, self.als, *self.met)))


def expected() -> list[Zet]:
    """The reading of the rules."""
    rows = tomllib.loads(EXPECTED.read_text(encoding="utf-8"))["zet"]
    lists = ("met", "op", "verdringt", "merkt", "ontmerkt", "kern")
    zetten = []
    for row in rows:
        told: dict[str, Any] = {k: tuple(v) if k in lists else v for k, v in row.items()}
        zetten.append(Zet(**told))
    return zetten


@dataclass(frozen=True)
class Cell:
    """One event in one state, answering one kind of question, said by one side."""

    zet: Zet
    staat: str
    by: Oin
    op: str | None = None
    others: Mapping[str, Status] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.zet} in {self.staat}" + (f" op {self.op}" if self.op else "")

    def stand(self) -> Stand:
        """The state, with a question of every kind that is open and has a term."""
        if self.staat == NIEUW:
            return Stand()
        asked = dict(QUESTIONS)
        if self.zet.zegt == "beide":
            asked |= dict.fromkeys(("Navraag", "Intrekking"), SE if self.by == SHV else SHV)
        vragen = tuple(
            question(soort, by=by, status=status, door="" if status is Status.OPEN else EARLIER)
            for soort, by in asked.items()
            for status in [self.others.get(soort, Status.OPEN)]
        )
        marks = (MARKS - set(self.zet.merkt)) | (
            set(self.zet.met) & {"bezwaarVoorbij", "uitbetaald"}
        )
        if "vooraf" in self.zet.met:
            marks -= {"verouderd"}
        return standing(
            self.staat,
            *vragen,
            merken=frozenset(marks),
            termijnen=tuple(
                term(soort, kind=soort, turn=SE if by == SHV else SHV)
                for soort, by in asked.items()
                if self.staat != BEEINDIGD
            ),
            stappen=(Stap(EARLIER, "Betaalvoorstel", SHV, self.staat, self.staat),),
        )

    def kern(self) -> Kern:
        """The sealed part that lets it pass, as different from what it brings as can be."""
        met = self.zet.met
        base = Kern(
            opgave=("E-2025-0117", "E-2025-0342", "E-2024-0001"),
            saldo=("2026-03-01", "2027-03-01") if "geldig" in met else ("2020-01-01", "2020-02-01"),
            vooraf=CONSENT if "vooraf" in met else {**CONSENT, "geldigTotEnMet": "2026-03-09"},
            type=next((each.upper() for each in met if each in ("sb", "sk")), None),
            ibans=("NL02VRBD0990000421",),
        )
        if self.zet.soort == "RegelingGeaccordeerd" and self.staat in ("AKKOORD", "OPGELEGD"):
            return agreed()
        return base

    def change(self) -> Json:
        """What the example must say otherwise."""
        met, soort = self.zet.met, self.zet.soort
        made: Json = {}
        if "schatting" in met:
            merge(made, {"voorstel": {"saldoBron": "SCHATTING"}})
        if soort == "IncassopauzeAntwoord" and "moratorium" not in met:
            made["soort"] = "SCHULDREGELING"
        if soort == "StatusberichtSe":
            made["betaalgegevens"] = body_of("BetaalvoorstelAntwoord")[1]["betaalgegevens"]
        if self.zet.verleent:
            made["uitstelTotEnMet"] = UNTIL.isoformat()
        return made

    def made(self, rules: Table, **more: Any) -> Move:
        """The move itself.

        Raises:
            Refusal: it is none.
        """
        cross = self.op or self.zet.beantwoordt
        if self.zet.soort == "Heroverweging":
            cross = EARLIER
        how: Json = {
            "als": self.zet.als,
            "by": self.by,
            "cross": cross,
            "vervangt": EARLIER if "vervangt" in self.zet.met else None,
            "kern": self.kern(),
            "change": self.change(),
            "objection": "bezwaar" in self.zet.met,
        }
        return move(self.zet.soort, self.stand(), rules=rules, **{**how, **more})


def cells(staten: Mapping[str, str], zetten: list[Zet] | None = None) -> Iterator[Cell]:
    """Every event of a party in every state; events of the clock are not among them."""
    for zet in expected() if zetten is None else zetten:
        if zet.zegt == "klok":
            continue
        for staat in staten:
            if zet.outcome(staat) == ELSEWHERE:
                continue
            for by in zet.speakers:
                for op in zet.op or (None,):
                    yield Cell(zet, staat, by, op)


def differences(cell: Cell, rules: Table) -> list[str]:
    """How what the rules make of it differs from what is expected; empty if it does not."""
    told = cell.zet.outcome(cell.staat)
    try:
        made = cell.made(rules)
    except Refusal as refused:
        got = f"weigert {refused.code}"
        return [] if got == told else [f"{cell}: {got}, expected: {told}"]
    if told.startswith("weigert"):
        return [f"{cell}: accepted, expected: {told}"]
    wrong = [*_state(cell, made, told), *_questions(cell, made), *_term(cell, made)]
    return [f"{cell}: {each}" for each in [*wrong, *_kern(cell, made)]]


def _state(cell: Cell, made: Move, told: str) -> Iterator[str]:
    zet, before, now = cell.zet, cell.stand(), made.stand
    naar = cell.staat if told == "blijft" else told.removeprefix("naar ")
    if now.staat != naar:
        yield f"{now.staat}, expected: {naar}"
    either = cell.staat == NIEUW and zet.zegt == "beide"
    if (now.shv, now.se) != (SHV, SE) and not either:
        yield "the sides are mixed up"
    if now.merken != (before.merken | set(zet.merkt)) - set(zet.ontmerkt):
        yield f"marked {sorted(now.merken)}"
    if now.reden != zet.reden:
        yield f"reden {now.reden}, expected: {zet.reden}"


def _questions(cell: Cell, made: Move) -> Iterator[str]:
    zet, now = cell.zet, made.stand
    own = now.vraag(NEW)
    if (own is not None) != zet.vraagt:
        yield f"asks: {own}"
    answered = None if zet.laat_open else cell.op or zet.beantwoordt
    for vraag in cell.stand().vragen:
        left, status = now.vraag(vraag.referentienummer), Status.OPEN
        if vraag.soort in zet.verdringt:
            status = Status.VERVANGEN
        elif vraag.soort == answered:
            status = Status.BEANTWOORD
        door = None if status is Status.OPEN else NEW
        if left != vraag._replace(status=status, door=door):
            yield f"{vraag.soort} is {left and left.status}, expected: {status}"


def _term(cell: Cell, made: Move) -> Iterator[str]:
    zet, now = cell.zet, made.stand
    if now.ended:
        if list(running(now)):
            yield "terms run after the end"
        return
    mine = now.termijn(NEW)
    soort = zet.termijn or ("antwoord" if zet.vraagt else None)
    if (mine and mine.soort.value) != soort:
        yield f"term {mine and mine.soort}, expected: {soort}"
    for vraag in cell.stand().vragen:
        later = zet.verleent and vraag.vrager == cell.by
        left = now.termijn(vraag.referentienummer)
        if left is not None and (left.tot_en_met == UNTIL) != later:
            yield f"the term of {vraag.soort} ends {left.tot_en_met}"


def _kern(cell: Cell, made: Move) -> Iterator[str]:
    before = cell.kern()
    names = set(Kern._fields) - {"voorstellen"}  # by number; has its own test
    changed = {name for name in names if getattr(before, name) != getattr(made.kern, name)}
    if changed != set(cell.zet.kern):
        yield f"takes over {sorted(changed)}, expected: {sorted(cell.zet.kern)}"


def of_the_clock(zet: Zet, rules: Table) -> Iterator[str]:
    """How what the clock does differs from what is expected, in every state."""
    for staat in rules.staten:
        if staat == NIEUW:
            continue
        before = standing(staat, question("Betaalvoorstel"), question("Heroverweging"))
        now = expired(before, zet.soort, str(zet.als), rules)
        told = zet.outcome(staat)
        if told == "blijft":
            if now != before:
                yield f"{zet} in {staat}: {now.staat}, expected: nothing"
            continue
        if now.staat != told.removeprefix("naar "):
            yield f"{zet} in {staat}: {now.staat}, expected: {told}"
        if now.merken != set(zet.merkt):
            yield f"{zet} in {staat}: marked {sorted(now.merken)}"
        for vraag in before.vragen:
            left = now.vraag(vraag.referentienummer)
            replaced = vraag.soort in zet.verdringt
            if left is None or (left.status is Status.VERVANGEN) != replaced:
                yield f"{zet} in {staat}: {vraag.soort} is {left and left.status}"


__all__ = ["AT", "Cell", "Zet", "cells", "differences", "expected", "of_the_clock"]
