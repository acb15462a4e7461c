"""Where does the conversation between one helper and one creditor stand?

A ``Stand`` holds what the rules need to know of the past and nothing else: states, message
numbers, instants. It names no person and no amount (those are in the sealed ``Kern``).

Everything here is a tuple with names: as unchangeable as a frozen dataclass, and made in a
fraction of the time, which every message does many times.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import Any, NamedTuple, TypeVar

import orjson

from gateway.message import Json, Oin
from gateway.replies import instant

NIEUW = "NIEUW"
GEOPEND = "GEOPEND"
BEEINDIGD = "BEEINDIGD"

LONGEST_PAST = 48
"""So many steps and answered questions are remembered; a conversation has some twenty."""


class Status(StrEnum):
    """What became of a question."""

    OPEN = "open"
    BEANTWOORD = "beantwoord"
    VERVANGEN = "vervangen"
    INGETROKKEN = "ingetrokken"
    NIET_AFGELEVERD = "nietAfgeleverd"


class Soort(StrEnum):
    """What a term is about."""

    ANTWOORD = "antwoord"
    VOORSTEL = "voorstel"
    BEZWAAR = "bezwaar"


class Vraag(NamedTuple):
    """A message that asks for an answer.

    Attributes:
        vrager: Who asked, and so who alone may grant a delay.
        door: Number of the answer, or of the question that replaced this one.
    """

    referentienummer: str
    soort: str
    vrager: Oin
    status: Status = Status.OPEN
    door: str | None = None


class Termijn(NamedTuple):
    """A term that runs, or will run once the message is available to who must act.

    Attributes:
        referentienummer: The message that started it.
        berichtsoort: Kind of that message, with its module and version.
        aan_zet: Whose turn it is.
        lengte: As ``terms.Length`` writes it.
        beschikbaar: When the message became available; None while it is not.
        tot_en_met: The last day, inclusive, Europe/Amsterdam; None likewise.
        stap: How many of its moments have fired.
        herinnerd: When its reminders were sent.
    """

    soort: Soort
    referentienummer: str
    berichtsoort: str
    module: str
    versie: str
    aan_zet: Oin
    lengte: str
    beschikbaar: datetime | None = None
    tot_en_met: date | None = None
    stap: int = 0
    herinnerd: tuple[datetime, ...] = ()


class Stap(NamedTuple):
    """A message that moved the conversation, with what undoes it.

    Attributes:
        voor: The state before it.
        na: The state after it.
        antwoord_op: The question that it answered.
        verving: The questions that it replaced, to be open again when it is undone.
        niet_afgeleverd: It did not reach its recipient (yet).
        beweegt: It set the state, be it to what that was.
        merkte: The marks that it set.
    """

    referentienummer: str
    soort: str
    afzender: Oin
    voor: str
    na: str
    antwoord_op: str | None = None
    verving: tuple[str, ...] = ()
    niet_afgeleverd: bool = False
    beweegt: bool = False
    merkte: tuple[str, ...] = ()


_E = TypeVar("_E", bound=Vraag | Termijn | Stap)

_STATUSES = {each.value: each for each in Status}
_SOORTEN = {each.value: each for each in Soort}
_SINCE = Termijn._fields.index("beschikbaar")


class Stand(NamedTuple):
    """Everything that the rules remember of a conversation.

    Attributes:
        staat: Of the table (``gesprek.toml``).
        shv: Who asks for help on the client's behalf; None before the first message.
        reden: Why it ended: a code that creditors may see.
        merken: Marks such as ``verouderd`` (the proposal rests on an older balance).
        vervolg: Conversations that the helper may open with who took a claim over.
    """

    staat: str = NIEUW
    shv: Oin | None = None
    se: Oin | None = None
    reden: str | None = None
    merken: frozenset[str] = frozenset()
    vragen: tuple[Vraag, ...] = ()
    termijnen: tuple[Termijn, ...] = ()
    stappen: tuple[Stap, ...] = ()
    vervolg: tuple[Json, ...] = ()

    @property
    def ended(self) -> bool:
        """Nothing more may be said."""
        return self.staat == BEEINDIGD

    @property
    def numbers(self) -> Iterator[str]:
        """Of the messages that made a step and still stand, the newest first."""
        return (each.referentienummer for each in reversed(self.stappen))

    def side(self, party: Oin) -> str:
        """``shv`` or ``se``."""
        return "shv" if party == self.shv else "se"

    def vraag(self, referentienummer: str | None) -> Vraag | None:
        """The question of this number."""
        for each in self.vragen:
            if each.referentienummer == referentienummer:
                return each
        return None

    def open_vragen(self, soorten: Sequence[str] = ()) -> Iterator[Vraag]:
        """Questions that wait for an answer, oldest first; of these kinds, or of all."""
        for each in self.vragen:
            if each.status is Status.OPEN and (not soorten or each.soort in soorten):
                yield each

    def termijn(self, referentienummer: str) -> Termijn | None:
        """The term that a message started and that still runs."""
        for each in self.termijnen:
            if each.referentienummer == referentienummer:
                return each
        return None

    def stap(self, referentienummer: str) -> Stap | None:
        """The step of this number."""
        for each in self.stappen:
            if each.referentienummer == referentienummer:
                return each
        return None

    def with_vraag(self, changed: Vraag) -> Stand:
        """This with one question as it is now, or added."""
        vragen = _with(self.vragen, changed)
        if len(vragen) > max(len(self.vragen), LONGEST_PAST):
            vragen = _shortened(vragen)
        return self._replace(vragen=vragen)

    def with_termijn(self, changed: Termijn) -> Stand:
        """This with one term as it is now, or added."""
        return self._replace(termijnen=_with(self.termijnen, changed))

    def without_termijn(self, referentienummer: str) -> Stand:
        """This without the term that a message started."""
        left = tuple(e for e in self.termijnen if e.referentienummer != referentienummer)
        return self._replace(termijnen=left)

    def with_stap(self, changed: Stap) -> Stand:
        """This with one step as it is now, or added."""
        return self._replace(stappen=_with(self.stappen, changed)[-LONGEST_PAST:])


def _with(known: tuple[_E, ...], changed: _E) -> tuple[_E, ...]:
    """These with the one of its number as it is now, or added as the last."""
    for place, each in enumerate(known):
        if each.referentienummer == changed.referentienummer:
            return (*known[:place], changed, *known[place + 1 :])
    return (*known, changed)


def _shortened(vragen: tuple[Vraag, ...]) -> tuple[Vraag, ...]:
    """Without the oldest closed ones beyond what is remembered; open ones always stay."""
    excess = len(vragen) - LONGEST_PAST
    closed = [e.referentienummer for e in vragen if e.status is not Status.OPEN][:excess]
    return tuple(each for each in vragen if each.referentienummer not in closed)


def as_text(stand: Stand) -> str:
    """As the ledger keeps it."""
    told: Json = {"staat": stand.staat, "shv": stand.shv, "se": stand.se}
    if stand.reden:
        told["reden"] = stand.reden
    if stand.merken:
        told["merken"] = sorted(stand.merken)
    if stand.vragen:
        told["vragen"] = stand.vragen
    if stand.termijnen:
        told["termijnen"] = [_termijn_row(each) for each in stand.termijnen]
    if stand.stappen:
        told["stappen"] = stand.stappen
    if stand.vervolg:
        told["vervolg"] = stand.vervolg
    return orjson.dumps(told, default=tuple).decode()  # a question and a step: their members


def read(text: str | None) -> Stand:
    """What ``as_text`` wrote; a new conversation for None."""
    if not text:
        return Stand()
    told = orjson.loads(text)
    return Stand(
        told["staat"],
        told["shv"],
        told["se"],
        told.get("reden"),
        frozenset(told.get("merken", ())),
        tuple([_vraag(*each) for each in told.get("vragen", ())]),
        tuple([_termijn(*each) for each in told.get("termijnen", ())]),
        tuple([_stap(*each) for each in told.get("stappen", ())]),
        tuple(told.get("vervolg", ())),
    )


def _termijn_row(each: Termijn) -> tuple[Any, ...]:
    since, last = each.beschikbaar, each.tot_en_met
    return (
        *each[:_SINCE],
        None if since is None else instant(since),
        None if last is None else last.isoformat(),
        each.stap,
        tuple(map(instant, each.herinnerd)),
    )


def _vraag(number: str, soort: str, vrager: Oin, status: str, door: str | None) -> Vraag:
    return Vraag(number, soort, vrager, _STATUSES[status], door)


def _stap(*told: Any) -> Stap:
    number, soort, afzender, voor, na, antwoord_op, verving, niet_afgeleverd, beweegt, *more = told
    return Stap(
        number,
        soort,
        afzender,
        voor,
        na,
        antwoord_op,
        tuple(verving),
        niet_afgeleverd,
        beweegt,
        tuple(more[0]) if more else (),
    )


def _termijn(soort: str, *told: Any) -> Termijn:
    number, kind, module, versie, aan_zet, lengte, since, last, stap, herinnerd = told
    return Termijn(
        _SOORTEN[soort],
        number,
        kind,
        module,
        versie,
        aan_zet,
        lengte,
        None if since is None else datetime.fromisoformat(since),
        None if last is None else date.fromisoformat(last),
        stap,
        tuple(map(datetime.fromisoformat, herinnerd)),
    )
