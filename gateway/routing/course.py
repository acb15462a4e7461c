"""How a conversation goes on: by a message, by what became of it, and by the clock.

Binds the rules to what they need; built once at start. Pure on what it is given: the ledger
hands in what it holds under its lock, and keeps what comes back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from functools import lru_cache
from typing import NamedTuple

from gateway.calendar import AMSTERDAM
from gateway.errors import Code, Refusal
from gateway.message import Admitted, Channel, Course, Delivery, Json, Kind, Oin, Submission, Talk
from gateway.replies import (
    NIET_AFGELEVERD,
    VERVALLEN,
    About,
    Header,
    Lapse,
    intrekking_bevestiging,
    niet_afgeleverd,
    vervallen,
)
from gateway.routing import conversation, kern, stand
from gateway.routing.announcing import announced, status_answer
from gateway.routing.conversation import Lengths, Move
from gateway.routing.directory import Directory, Party
from gateway.routing.guards import Said
from gateway.routing.moments import fire, next_moment
from gateway.routing.outcomes import available, not_delivered, undone
from gateway.routing.own import Voice
from gateway.routing.stand import Soort, Stand, Status
from gateway.routing.table import Table
from gateway.routing.terms import Length, TermBook, ends_at, tot_en_met

NOT_COLLECTED = "NIET_OPGEHAALD"

NAMED = "ingetrokkenReferentienummer"
IS_A_RECALL = "IS_INTREKKING"
SEND_ANEW = (
    "Een intrekking kan niet worden ingetrokken: stuur het bericht opnieuw.",
    "A recall cannot be recalled: send the message again.",
)


class Proceeded(NamedTuple):
    """What a message makes of its conversation, beside what ``Admitted`` says of it.

    Attributes:
        discreet: The term is the recipient's own affair: the sender is not told of it.
    """

    submission: Submission
    course: Course
    term: Length | None = None
    tot_en_met: date | None = None
    discreet: bool = False
    withdraws: str | None = None
    says: tuple[Admitted, ...] = ()


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a delivery, as the ledger found it.

    Attributes:
        conversatie: Its id, for what the sender is told.
        at: When the delivery came to this.
        reason: Of a dead letter: a closed word of the gateway.
        tot_en_met: The last day of the term, as its recipient was told it.
    """

    kind: Kind
    versie: str
    referentienummer: str
    conversatie: str
    afzender: Oin
    ontvanger: Oin
    at: datetime
    reason: str = ""
    tot_en_met: date | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """How a conversation stands now, and what the gateway says about that."""

    course: Course | None
    says: tuple[Admitted, ...] = ()
    tot_en_met: date | None = None


class Courses:
    """The rules of the conversation, bound to the data of this gateway."""

    def __init__(
        self, table: Table, book: TermBook, voice: Voice, directory: Callable[[], Directory]
    ) -> None:
        self.table = table
        self.book = book
        self.voice = voice
        self.directory = directory
        self._notice = lru_cache(maxsize=64)(self._notice_after)
        self._agreed = lru_cache(maxsize=1024)(self._lengths_of)

    def proceed(self, submission: Submission, talk: Talk, recipient: Party) -> Proceeded:
        """Hold a message to its conversation.

        Raises:
            Refusal: it cannot be said now; see ``conversation.step``.
        """
        message = submission.message
        at = message.verified.received.at
        said = self._said(submission, talk, recipient)
        move = conversation.step(
            said, at=at, lengths=self._lengths(said, recipient), table=self.table
        )
        if move.row.intrekking:
            return self._recalled(submission, talk, said, move)
        now, last = move.stand, None
        if move.term is not None and recipient.channel is Channel.POSTBUS and not talk.waits:
            now = available(now, message.header.referentienummer, at, self.book.calendar)
            termijn = now.termijn(message.header.referentienummer)
            last = None if termijn is None else termijn.tot_en_met
        now, says = self._answered(now, said, at)
        if move.warnings:
            warned = replace(message, warnings=(*message.warnings, *move.warnings))
            submission = replace(submission, message=warned)
        sealed = None if move.kern == said.kern else kern.as_bytes(move.kern)
        return Proceeded(
            submission,
            self.course(now, sealed),
            term=move.term,
            tot_en_met=last,
            discreet=move.row.term is Soort.VOORSTEL,
            says=says,
        )

    def course(self, now: Stand, sealed: bytes | None = None) -> Course:
        """A stand as the ledger keeps it."""
        return Course(
            stand=stand.as_text(now),
            kern=sealed,
            next_term=next_moment(now, self.book.calendar),
            ended=now.ended,
        )

    def notice_at(self, at: datetime) -> datetime:
        """When the sender of a message is told that nobody collected it."""
        return self._notice(at.astimezone(AMSTERDAM).date())

    def stamped(self, delivery: Delivery, started: datetime) -> Delivery:
        """A delivery that says until when its recipient has, as from an attempt begun now."""
        if delivery.term is None or delivery.tot_en_met is not None:
            return delivery
        length = Length.read(delivery.term)
        return replace(delivery, tot_en_met=tot_en_met(length, started, self.book.calendar))

    def lies_ready(self, kept: str | None, fate: Fate) -> Told:
        """A message became available to its recipient (process.md 4): its term begins."""
        before = stand.read(kept)
        now = available(before, fate.referentienummer, fate.at, self.book.calendar, fate.tot_en_met)
        termijn = now.termijn(fate.referentienummer)
        last = None if termijn is None else termijn.tot_en_met
        return Told(None if now == before else self.course(now), tot_en_met=last)

    def died(self, kept: str | None, fate: Fate) -> Told:
        """A message became a dead letter: its sender is told, without the reason in words."""
        before = stand.read(kept)
        now = not_delivered(before, fate.referentienummer)
        document = niet_afgeleverd(
            **self._about(fate),
            bericht=_bericht(fate),
            ontvanger=fate.ontvanger,
            code=fate.reason.upper().replace("-", "_"),
            vastgesteld_op=fate.at,
        )
        return self._told(before, now, NIET_AFGELEVERD, document, fate.at)

    def given_up(self, kept: str | None, fate: Fate, reden: Lapse) -> Told:
        """A dead letter was discarded, or erased unseen: the conversation is as before it."""
        before = stand.read(kept)
        now = undone(before, fate.referentienummer)
        document = vervallen(
            **self._about(fate),
            bericht=_bericht(fate),
            ontvanger=fate.ontvanger,
            reden=reden,
            vervallen_op=fate.at,
        )
        return self._told(before, now, VERVALLEN, document, fate.at)

    def not_collected(self, fate: Fate) -> tuple[Admitted, ...]:
        """Nobody collected a message for days: its sender is told; the message stays."""
        document = niet_afgeleverd(
            **self._about(fate),
            bericht=_bericht(fate),
            ontvanger=fate.ontvanger,
            code=NOT_COLLECTED,
            vastgesteld_op=fate.at,
        )
        said = self.voice.say(NIET_AFGELEVERD, document, self.directory(), fate.at)
        return () if said is None else (said,)

    def due(self, kept: str, conversatie: str, now: datetime) -> Told:
        """What the clock does in a conversation by now, each thing once."""
        before = stand.read(kept)
        after, fired = fire(before, now, self.book.calendar, self.table)
        if not fired:
            return Told(self.course(before))
        directory = self.directory()
        says = (
            self.voice.say(kind, document, directory, now)
            for kind, document in announced(after, fired, conversatie, now, self.voice)
        )
        return Told(self.course(after), tuple(each for each in says if each is not None))

    def _said(self, submission: Submission, talk: Talk, recipient: Party) -> Said:
        message = submission.message.current
        root, body = next(iter(message.document.items()))
        sealed = talk.kern() if message.kind.name in self.table.read_kern else None
        now = stand.read(talk.stand)
        at = submission.message.verified.received.at
        return Said(
            soort=message.kind.name,
            module=message.kind.module,
            header=submission.message.header,
            root=root,
            body=body,
            stand=now,
            kern=kern.NOTHING if sealed is None else kern.read(sealed).counting(now.numbers),
            day=at.astimezone(AMSTERDAM).date(),
            objection=self.book.bezwaar(recipient.convenant) is not None,
            validity=self.book.geldigheid_saldo,
        )

    def _lengths(self, said: Said, recipient: Party) -> Lengths:
        return self._agreed(said.soort, said.module, self._creditor(said, recipient).convenant)

    def _lengths_of(self, soort: str, module: str, convenant: str | None) -> Lengths:
        return Lengths(
            antwoord=self.book.length(soort=soort, module=module, convenant=convenant),
            voorstel=(v.length if (v := self.book.voorstel(convenant)) else None),
            bezwaar=self.book.bezwaar(convenant),
        )

    def _creditor(self, said: Said, recipient: Party) -> Party:
        """Whose convenant counts: that of the creditor's side."""
        if said.stand.se is None or said.stand.se == recipient.oin:
            return recipient
        return self.directory().parties.get(said.stand.se, recipient)

    def _answered(self, now: Stand, said: Said, at: datetime) -> tuple[Stand, tuple[Admitted, ...]]:
        """A Statusverzoek that the asked party lets the gateway answer."""
        asked = self.directory().parties.get(said.header.ontvanger)
        if said.soort != "Statusverzoek" or asked is None or not asked.statusverzoek_toegestaan:
            return now, ()
        made = status_answer(now, said, at, self.voice, self.table)
        answer = None if made is None else self.voice.say(*made, self.directory(), at)
        vraag = now.vraag(said.header.referentienummer)
        if answer is None or vraag is None:
            return now, ()
        number = answer.submission.message.header.referentienummer
        closed = vraag._replace(status=Status.BEANTWOORD, door=number)
        return now.with_vraag(closed), (answer,)

    def _recalled(self, submission: Submission, talk: Talk, said: Said, move: Move) -> Proceeded:
        """A message is taken back: out of sight where nobody saw it, else as a duty."""
        named = said.body[NAMED]
        if talk.taken is None:
            place = said.at(NAMED, "BERICHT_ONBEKEND")
            raise Refusal(Code.VRAAG_ONBEKEND, place)
        if (earlier := said.stand.vraag(named)) is not None and earlier.soort == said.soort:
            raise Refusal(Code.VOLGORDE_ONGELDIG, said.at(NAMED, IS_A_RECALL, *SEND_ANEW))
        now = undone(move.stand, named)
        if talk.taken:
            return Proceeded(submission, self.course(now), term=move.term)
        own = said.header.referentienummer
        if (vraag := now.vraag(own)) is not None:
            now = now.with_vraag(vraag._replace(status=Status.BEANTWOORD)).without_termijn(own)
        at = submission.message.verified.received.at
        module, versie = said.module, said.header.versie
        document = intrekking_bevestiging(
            module=module,
            versie=versie,
            ingetrokken=named,
            uitgevoerd_op=at,
            **self.voice.header(
                to=said.header.afzender, conversatie=said.header.conversatie, cross=own, at=at
            ),
        )
        kind = Kind(module, submission.message.current.kind.major, "IntrekkingBevestiging")
        answer = self.voice.say(kind, document, self.directory(), at)
        says = () if answer is None else (answer,)
        return Proceeded(submission, self.course(now), withdraws=named, says=says)

    def _told(self, before: Stand, now: Stand, kind: Kind, document: Json, at: datetime) -> Told:
        said = self.voice.say(kind, document, self.directory(), at)
        says = () if said is None else (said,)
        return Told(None if now == before else self.course(now), says)

    def _about(self, fate: Fate) -> Header:
        return self.voice.header(
            to=fate.afzender, conversatie=fate.conversatie, cross=fate.referentienummer, at=fate.at
        )

    def _notice_after(self, day: date) -> datetime:
        noon = datetime.combine(day, time(12), AMSTERDAM)
        return ends_at(tot_en_met(self.book.uncollected, noon, self.book.calendar))


def _bericht(fate: Fate) -> About:
    return About(fate.referentienummer, fate.kind.name, fate.kind.module, fate.versie)
