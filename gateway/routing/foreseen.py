"""What the clock will do in a conversation, as long as nobody says anything.

Pure: reckoned from where the conversation stands, and nothing is changed by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from gateway.message import Oin
from gateway.routing.announcing import announced
from gateway.routing.course import Courses
from gateway.routing.directory import successor
from gateway.routing.lengths import local_day
from gateway.routing.moments import Wat, fire, next_moment
from gateway.routing.stand import Stand


class Anders(StrEnum):
    """What the clock does beside the moments of a term (``Wat``)."""

    BEGINT = "TERMIJN_BEGINT"
    NIET_OPGEHAALD = "NIET_OPGEHAALD"
    NIET_AFGELEVERD = "NIET_AFGELEVERD"
    VERVALLEN = "VERVALLEN"


@dataclass(frozen=True, slots=True)
class Coming:
    """One thing that will happen by itself.

    Attributes:
        berichtsoort: Kind of the message that it is about, with its number.
        bericht: Kind of what the gateway says; None where it says nothing.
        voor: To whom, or else whose turn it is.
    """

    at: datetime
    wat: Wat | Anders
    conversatie: str
    berichtsoort: str
    referentienummer: str
    bericht: str | None
    voor: Oin
    tot_en_met: date | None


def coming(
    stand: Stand, conversatie: str, now: datetime, until: datetime, rules: Courses
) -> Iterator[Coming]:
    """What falls due in a conversation up to and with an instant, in order.

    What is due by now happens now, as far as it is not made up for by something later.
    """
    calendar = rules.book.calendar
    while (due := next_moment(stand, calendar)) is not None and due <= until:
        at = max(due, min(now, until))
        stand, fired = fire(stand, at, calendar, rules.table)
        if not fired:
            return
        for moment in fired:
            documents = announced(stand, [moment], conversatie, at, rules.voice)
            told: list[tuple[str | None, Oin]] = [
                (kind.name, next(iter(document.values()))["stuurgegevens"]["ontvanger"]["oin"])
                for kind, document in documents
            ]
            for bericht, named in told or [(None, moment.termijn.aan_zet)]:
                voor = successor(named, local_day(at), rules.directory())
                if bericht is not None and voor not in rules.directory().parties:
                    continue
                yield Coming(
                    at=at,
                    wat=moment.wat,
                    conversatie=conversatie,
                    berichtsoort=moment.termijn.berichtsoort,
                    referentienummer=moment.termijn.referentienummer,
                    bericht=bericht,
                    voor=voor,
                    tot_en_met=moment.termijn.tot_en_met,
                )
