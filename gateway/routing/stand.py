"""Where does the conversation between one helper and one creditor stand?

A ``Stand`` holds what the rules need to know of the past and nothing else: states, message
numbers, instants. It names no person and no amount (those are in the sealed ``Kern``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any

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


@dataclass(frozen=True, slots=True)
class Vraag:
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


@dataclass(frozen=True, slots=True)
class Termijn:
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


@dataclass(frozen=True, slots=True)
class Stap:
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


@dataclass(frozen=True, slots=True)
class Stand:
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
        found = (each for each in self.vragen if each.referentienummer == referentienummer)
        return next(found, None)

    def open_vragen(self, soorten: Sequence[str] = ()) -> Iterator[Vraag]:
        """Questions that wait for an answer, oldest first; of these kinds, or of all."""
        for each in self.vragen:
            if each.status is Status.OPEN and (not soorten or each.soort in soorten):
                yield each

    def termijn(self, referentienummer: str) -> Termijn | None:
        """The term that a message started and that still runs."""
        found = (each for each in self.termijnen if each.referentienummer == referentienummer)
        return next(found, None)

    def stap(self, referentienummer: str) -> Stap | None:
        """The step of this number."""
        found = (each for each in self.stappen if each.referentienummer == referentienummer)
        return next(found, None)

    def with_vraag(self, changed: Vraag) -> Stand:
        """This with one question as it is now."""
        others = tuple(
            changed if each.referentienummer == changed.referentienummer else each
            for each in self.vragen
        )
        known = any(each.referentienummer == changed.referentienummer for each in self.vragen)
        return self._with(vragen=others if known else _shortened((*others, changed)))

    def with_termijn(self, changed: Termijn) -> Stand:
        """This with one term as it is now, or added."""
        if self.termijn(changed.referentienummer) is None:
            return self._with(termijnen=(*self.termijnen, changed))
        termijnen = tuple(
            changed if each.referentienummer == changed.referentienummer else each
            for each in self.termijnen
        )
        return self._with(termijnen=termijnen)

    def without_termijn(self, referentienummer: str) -> Stand:
        """This without the term that a message started."""
        left = tuple(e for e in self.termijnen if e.referentienummer != referentienummer)
        return self._with(termijnen=left)

    def with_stap(self, added: Stap) -> Stand:
        """This with one more step, or with a step as it is now."""
        if self.stap(added.referentienummer) is not None:
            stappen = tuple(
                added if each.referentienummer == added.referentienummer else each
                for each in self.stappen
            )
        else:
            stappen = (*self.stappen, added)[-LONGEST_PAST:]
        return self._with(stappen=stappen)

    def _with(
        self,
        vragen: tuple[Vraag, ...] | None = None,
        termijnen: tuple[Termijn, ...] | None = None,
        stappen: tuple[Stap, ...] | None = None,
    ) -> Stand:
        """As ``dataclasses.replace``, which takes three times as long, several times a message."""
        return Stand(
            self.staat,
            self.shv,
            self.se,
            self.reden,
            self.merken,
            self.vragen if vragen is None else vragen,
            self.termijnen if termijnen is None else termijnen,
            self.stappen if stappen is None else stappen,
            self.vervolg,
        )


def _shortened(vragen: tuple[Vraag, ...]) -> tuple[Vraag, ...]:
    """Without the oldest closed ones beyond what is remembered; open ones always stay."""
    excess = len(vragen) - LONGEST_PAST
    if excess <= 0:
        return vragen
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
        told["vragen"] = list(map(_vraag_row, stand.vragen))
    if stand.termijnen:
        told["termijnen"] = list(map(_termijn_row, stand.termijnen))
    if stand.stappen:
        told["stappen"] = list(map(_stap_row, stand.stappen))
    if stand.vervolg:
        told["vervolg"] = list(stand.vervolg)
    return orjson.dumps(told).decode()


def read(text: str | None) -> Stand:
    """What ``as_text`` wrote; a new conversation for None."""
    if not text:
        return Stand()
    told = orjson.loads(text)
    return Stand(
        staat=told["staat"],
        shv=told["shv"],
        se=told["se"],
        reden=told.get("reden"),
        merken=frozenset(told.get("merken", ())),
        vragen=tuple(_vraag(each) for each in told.get("vragen", ())),
        termijnen=tuple(_termijn(each) for each in told.get("termijnen", ())),
        stappen=tuple(_stap(each) for each in told.get("stappen", ())),
        vervolg=tuple(told.get("vervolg", ())),
    )


def _vraag_row(each: Vraag) -> tuple[Any, ...]:
    return each.referentienummer, each.soort, each.vrager, each.status.value, each.door


def _termijn_row(each: Termijn) -> tuple[Any, ...]:
    since, last = each.beschikbaar, each.tot_en_met
    return (
        each.soort.value,
        each.referentienummer,
        each.berichtsoort,
        each.module,
        each.versie,
        each.aan_zet,
        each.lengte,
        None if since is None else instant(since),
        None if last is None else last.isoformat(),
        each.stap,
        tuple(map(instant, each.herinnerd)),
    )


def _stap_row(each: Stap) -> tuple[Any, ...]:
    return (
        each.referentienummer,
        each.soort,
        each.afzender,
        each.voor,
        each.na,
        each.antwoord_op,
        each.verving,
        each.niet_afgeleverd,
        each.beweegt,
        each.merkte,
    )


def _vraag(told: list[Any]) -> Vraag:
    number, soort, vrager, status, door = told
    return Vraag(number, soort, vrager, Status(status), door)


def _stap(told: list[Any]) -> Stap:
    number, soort, afzender, voor, na, antwoord_op, verving, niet_afgeleverd, beweegt, *more = told
    return Stap(
        referentienummer=number,
        soort=soort,
        afzender=afzender,
        voor=voor,
        na=na,
        antwoord_op=antwoord_op,
        verving=tuple(verving),
        niet_afgeleverd=bool(niet_afgeleverd),
        beweegt=bool(beweegt),
        merkte=tuple(more[0]) if more else (),
    )


def _termijn(told: list[Any]) -> Termijn:
    soort, number, kind, module, versie, aan_zet, lengte, beschikbaar, tot_en_met, *moments = told
    stap, herinnerd = moments
    return Termijn(
        soort=Soort(soort),
        referentienummer=number,
        berichtsoort=kind,
        module=module,
        versie=versie,
        aan_zet=aan_zet,
        lengte=lengte,
        beschikbaar=None if beschikbaar is None else datetime.fromisoformat(beschikbaar),
        tot_en_met=None if tot_en_met is None else date.fromisoformat(tot_en_met),
        stap=stap,
        herinnerd=tuple(datetime.fromisoformat(each) for each in herinnerd),
    )
