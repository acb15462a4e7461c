"""What falls due in a conversation, when, and what happens then.

Pure: the instant comes in as an argument. Moments that passed while nobody looked are not
made up for: only the latest counts, so that a restart sends no stale reminders.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from gateway.calendar import Calendar
from gateway.routing.conversation import OVER, expired, running
from gateway.routing.stand import Soort, Stand, Termijn
from gateway.routing.table import Table
from gateway.routing.terms import Length, ends_at, reminders


class Wat(StrEnum):
    """What a moment is for."""

    HELFT = "HELFT"
    VIER_VIJFDE = "VIER_VIJFDE"
    VERSTREKEN = "VERSTREKEN"
    BEZWAAR_VERSTREKEN = "BEZWAAR_VERSTREKEN"


class Moment(NamedTuple):
    """Something that falls due.

    Attributes:
        termijn: The term as it was before.
    """

    at: datetime
    wat: Wat
    termijn: Termijn


def schedule(termijn: Termijn, calendar: Calendar) -> list[Moment]:
    """Every moment of a term that runs, in order; empty while it does not run."""
    if termijn.beschikbaar is None or termijn.tot_en_met is None:
        return []
    end = ends_at(termijn.tot_en_met)
    if termijn.soort is Soort.BEZWAAR:
        return [Moment(end, Wat.BEZWAAR_VERSTREKEN, termijn)]
    half, four_fifths = reminders(Length.read(termijn.lengte), termijn.beschikbaar, calendar)
    return [
        Moment(min(half, end), Wat.HELFT, termijn),
        Moment(min(four_fifths, end), Wat.VIER_VIJFDE, termijn),
        Moment(end, Wat.VERSTREKEN, termijn),
    ]


def next_moment(stand: Stand, calendar: Calendar) -> datetime | None:
    """When something falls due next; None when nothing will by itself."""
    coming = [
        moment.at
        for termijn in running(stand)
        for moment in schedule(termijn, calendar)[termijn.stap : termijn.stap + 1]
    ]
    return min(coming, default=None)


def fire(
    stand: Stand, now: datetime, calendar: Calendar, table: Table
) -> tuple[Stand, list[Moment]]:
    """What is due by now, each once, and where the conversation stands afterwards."""
    fired: list[Moment] = []
    for termijn in tuple(running(stand)):
        moments = schedule(termijn, calendar)
        due = [m for m in moments[termijn.stap :] if m.at <= now]
        if not due:
            continue
        last = due[-1]
        reached = termijn._replace(stap=termijn.stap + len(due))
        if last.wat in (Wat.HELFT, Wat.VIER_VIJFDE):
            reached = reached._replace(herinnerd=(*termijn.herinnerd, now))
        stand = stand.with_termijn(reached)
        fired.append(last)
        stand = _after(stand, last, table)
    return stand, fired


def _after(stand: Stand, moment: Moment, table: Table) -> Stand:
    kind = moment.termijn.berichtsoort
    if moment.wat in (Wat.VERSTREKEN, Wat.BEZWAAR_VERSTREKEN):
        return expired(stand, OVER[moment.termijn.soort], kind, table)
    return stand
