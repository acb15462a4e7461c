"""Which terms need attention, and what happened to a helper's conversations on a day.

Pure. Only conversation ids, kinds, parties and days: nothing that was said, and nobody's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final

from gateway.calendar import Calendar
from gateway.message import Json, Oin
from gateway.routing.conversation import running
from gateway.routing.lengths import Length, local_day, tot_en_met
from gateway.routing.stand import Soort, Stand

SOON_WORKING_DAYS: Final = 5

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Running:
    """A term that runs, or is over while what it waits for did not come.

    Attributes:
        soort: Kind of the message that started it.
        wat: What is waited for.
        days_left: Working days after today until its last day, with that day; below 0 it is
            over since so many; 0 where today is the last, or the last was no working day.
    """

    conversatie: str
    soort: str
    wat: Soort
    shv: Oin | None
    turn: Oin
    tot_en_met: date
    days_left: int
    over: bool


@dataclass(frozen=True, slots=True)
class Happened:
    """Something about a message in a conversation of a helper.

    Attributes:
        available: When it lay where its recipient finds it.
    """

    conversatie: str
    shv: Oin | None
    sender: Oin
    recipient: Oin
    available: datetime | None


def terms_of(conversatie: str, stand: Stand, today: date, calendar: Calendar) -> Iterator[Running]:
    """The terms of a conversation that have begun; an objection is nobody's duty."""
    for each in running(stand):
        if each.tot_en_met is None or each.soort is Soort.BEZWAAR:
            continue
        left = calendar.working_days_between(today, each.tot_en_met)
        yield Running(
            conversatie,
            each.berichtsoort,
            each.soort,
            stand.shv,
            each.aan_zet,
            each.tot_en_met,
            left,
            each.tot_en_met < today,
        )


def needs_attention(terms: Iterable[Running], today: date, calendar: Calendar) -> list[Running]:
    """Terms that are over, and those that end within ``SOON_WORKING_DAYS``; oldest end first."""
    last = calendar.add_working_days(today, SOON_WORKING_DAYS)
    found = [each for each in terms if each.tot_en_met <= last]
    return sorted(found, key=lambda each: (each.tot_en_met, each.conversatie))


class Part(StrEnum):
    """What a digest tells, in this order."""

    BEANTWOORD = "beantwoord"
    TE_LAAT = "teLaatGeworden"
    LOOPT_AF = "looptAf"
    NIET_OPGEHAALD = "nietOpgehaald"
    GESTRAND = "gestrand"


@dataclass(frozen=True, slots=True)
class Line:
    """A conversation in a part of a digest.

    Attributes:
        tot_en_met: The last day, where it is about a term.
        own_turn: The helper itself is to do something; None where it is not about a term.
    """

    conversatie: str
    tot_en_met: date | None = None
    own_turn: bool | None = None


@dataclass(frozen=True, slots=True)
class Digest:
    """What a helper reads in the morning about the day before."""

    shv: Oin
    day: date
    soon: date
    parts: dict[Part, list[Line]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """What the ledger has that digests are made from, of all helpers."""

    answered: Sequence[Happened]
    terms: Sequence[Running]
    uncollected: Sequence[Happened]
    stranded: Sequence[Happened]


def digests(
    found: Found, helpers: Iterable[Oin], day: date, *, may_lie: Length, calendar: Calendar
) -> list[Digest]:
    """One digest per helper, with what is in its own conversations only.

    Args:
        may_lie: So long a message may lie before it counts as not collected.
    """
    soon = calendar.add_working_days(day, SOON_WORKING_DAYS)
    late = [each for each in found.terms if each.tot_en_met == day]
    due = [each for each in found.terms if day < each.tot_en_met <= soon]
    lies = [
        each
        for each in found.uncollected
        if each.available is not None and tot_en_met(may_lie, each.available, calendar) <= day
    ]
    made = []
    for shv in helpers:
        answered = [e for e in found.answered if e.shv == shv and e.recipient == shv]
        sent = [each for each in lies if each.shv == shv and each.sender == shv]
        dead = [each for each in found.stranded if each.shv == shv]
        parts = {
            Part.BEANTWOORD: _of_messages(answered),
            Part.TE_LAAT: _of_terms(late, shv),
            Part.LOOPT_AF: _of_terms(due, shv),
            Part.NIET_OPGEHAALD: _of_messages(sent),
            Part.GESTRAND: _of_messages(dead),
        }
        made.append(Digest(shv, day, soon, parts))
    return made


def _of_messages(found: Iterable[Happened]) -> list[Line]:
    return [Line(conversatie) for conversatie in sorted({each.conversatie for each in found})]


def _of_terms(found: Iterable[Running], shv: Oin) -> list[Line]:
    lines = {
        Line(each.conversatie, each.tot_en_met, each.turn == shv)
        for each in found
        if each.shv == shv
    }
    return sorted(lines, key=lambda line: (line.tot_en_met or date.min, line.conversatie))


def day_of(now: datetime) -> date:
    """The day that a digest is about where none was named: the one that is over."""
    return local_day(now) - _DAY


_HEADS: Final = {
    Part.BEANTWOORD: ("Beantwoord", "U kreeg op deze dag antwoord."),
    Part.TE_LAAT: (
        "Te laat geworden",
        "De termijn liep op deze dag af en er is nog niet gereageerd. Een vraag blijft openstaan.",
    ),
    Part.LOOPT_AF: ("Loopt binnenkort af", "De termijn loopt uiterlijk op {soon} af."),
    Part.NIET_OPGEHAALD: (
        "Niet opgehaald",
        "Uw bericht staat te lang klaar zonder dat de ontvanger het ophaalt. Het blijft staan.",
    ),
    Part.GESTRAND: (
        "Niet bezorgd",
        "Een bericht kon niet worden bezorgd. De beheerder van de gateway is aan zet.",
    ),
}

_DAYS: Final = ("maandag", "dinsdag", "woensdag", "donderdag", "vrijdag", "zaterdag", "zondag")
_MONTHS: Final = (
    "januari",
    "februari",
    "maart",
    "april",
    "mei",
    "juni",
    "juli",
    "augustus",
    "september",
    "oktober",
    "november",
    "december",
)


def in_words(day: date) -> str:
    """A day as people in the Netherlands write it."""
    return f"{_DAYS[day.weekday()]} {day.day} {_MONTHS[day.month - 1]} {day.year}"


def as_text(digest: Digest, naam: str) -> str:
    """A digest as a text that can be mailed as it is: the first line is the subject."""
    lines = [f"Onderwerp: Dagoverzicht van uw gesprekken op {in_words(digest.day)}", ""]
    lines += [f"Voor: {naam}" if naam else "Voor:", f"OIN: {digest.shv}", ""]
    filled = [(part, digest.parts.get(part, [])) for part in Part]
    if not any(found for _, found in filled):
        lines += ["Er is niets bijzonders te melden.", ""]
    for part, found in filled:
        if not found:
            continue
        head, meant = _HEADS[part]
        lines += [f"{head}: {_counted(found)}", meant.format(soon=in_words(digest.soon))]
        lines += [f"- {_in_text(each)}" for each in found] + [""]
    lines += [
        "Zoek een gesprek op in uw eigen systeem met het nummer dat hier staat.",
        "In dit overzicht staan geen persoonsgegevens.",
    ]
    return "\n".join(lines) + "\n"


def _counted(found: Sequence[Line]) -> str:
    count = len({each.conversatie for each in found})
    return "1 gesprek" if count == 1 else f"{count} gesprekken"


def _in_text(line: Line) -> str:
    if line.tot_en_met is None:
        return line.conversatie
    turn = "u bent aan zet" if line.own_turn else "de schuldeiser is aan zet"
    return f"{line.conversatie} (tot en met {line.tot_en_met:%d-%m-%Y}; {turn})"


def as_json(digest: Digest, naam: str) -> Json:
    """The same for a program."""
    return {
        "shv": digest.shv,
        "naam": naam,
        "dag": digest.day.isoformat(),
        "looptAfTotEnMet": digest.soon.isoformat(),
        **{
            part.value: {
                "aantal": len({each.conversatie for each in digest.parts.get(part, [])}),
                "gesprekken": [_as_json(each) for each in digest.parts.get(part, [])],
            }
            for part in Part
        },
    }


def _as_json(line: Line) -> Json:
    told: Json = {"conversatieReferentienummer": line.conversatie}
    if line.tot_en_met is not None:
        told |= {"totEnMet": line.tot_en_met.isoformat(), "uBentAanZet": bool(line.own_turn)}
    return told
