"""A helper and a creditor who talk through a ledger under the real rules, without doors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from fixtures.documents import document, kind
from fixtures.parties import fresh
from fixtures.rules import courses
from fixtures.world import ALL_MODULES, GATEWAY, SE, SHV
from gateway.adapters.ledger.ledger import SqlLedger
from gateway.adapters.ledger.tables import conversation, dead_letter, delivery, evidence, message
from gateway.errors import Refusal
from gateway.json import parse
from gateway.message import (
    Admitted,
    Canonical,
    Channel,
    Dialect,
    Door,
    Json,
    Oin,
    Receipt,
    Received,
    Signer,
    Submission,
    Talk,
    Verified,
    as_bytes,
)
from gateway.record import Outcome
from gateway.routing import stand
from gateway.routing.admit import admit
from gateway.routing.course import Courses
from gateway.routing.directory import BsnRight, Directory, Party
from gateway.routing.rights import Rights
from gateway.routing.stand import Stand
from gateway.schemas.translate import header_of
from tests.conformance.delivering import rows
from tests.conformance.submissions import NOON

OTHER = Oin("00000099000000003000")
ROLES: Mapping[Oin, str] = {SHV: "shv-fase-2", SE: "schuldeiser", OTHER: "schuldeiser"}


def directory(channels: Mapping[Oin, Channel]) -> Directory:
    """The helper, the creditor and another one, each with its channel."""
    parties = {
        oin: Party(
            oin,
            "naam",
            frozenset({role}),
            frozenset(ALL_MODULES),
            (),
            channel=channels.get(oin, Channel.POSTBUS),
        )
        for oin, role in ROLES.items()
    }
    rights = tuple(
        BsnRight(oin, None, module, "WGS", date(2020, 1, 1), partner=True)
        for oin in parties
        for module in ALL_MODULES
    )
    return Directory(1, parties, bsn_rights=rights)


@dataclass
class Talking:
    """One conversation between the two, in a ledger.

    Attributes:
        now: The clock; what is said is said then.
        channels: By party; a postbus where it is not named.
    """

    ledger: SqlLedger
    channels: Mapping[Oin, Channel] = field(default_factory=dict)
    now: datetime = NOON
    thread: str = field(default_factory=fresh)

    def __post_init__(self) -> None:
        self.directory = directory(self.channels)
        self.rules: Courses = courses(self.directory)
        self._rights = Rights()

    def admit(self, submission: Submission, talk: Talk) -> Admitted:
        """The station, on the directory of this conversation."""
        return admit(
            submission,
            talk,
            directory=self.directory,
            rights=self._rights,
            courses=self.rules,
            gateway=GATEWAY,
            skew=timedelta(seconds=60),
        )

    def made(
        self,
        soort: str,
        by: Oin,
        to: Oin,
        *,
        cross: str | None = None,
        change: Json | None = None,
    ) -> Submission:
        """A message, ready for the ledger."""
        which = kind("schuldregeling", soort)
        written = document(
            which,
            reference=fresh(),
            conversation=self.thread,
            sender=by,
            recipient=to,
            at=self.now,
            cross=cross,
            change=change,
        )
        body = as_bytes(written)
        header = header_of(written)
        verified = Verified(
            Received(Door.REST_JSON, Dialect.JSON, body, self.now),
            Signer(by, "f" * 64, "PS256"),
            written,
        )
        canonical = Canonical(verified, which, header, written)
        return Submission(canonical, header.referentienummer, body, fresh(), fresh())

    def record(self, *submissions: Submission) -> list[Outcome]:
        """Hand these in, in one batch."""
        return self.ledger.record(submissions, self.admit, self.now)

    def say(self, soort: str, by: Oin, to: Oin, **what: Any) -> str:
        """Say something that is accepted; its referentienummer."""
        submission = self.made(soort, by, to, **what)
        (outcome,) = self.record(submission)
        assert isinstance(outcome, Receipt), outcome
        return outcome.referentienummer

    def refused(self, soort: str, by: Oin, to: Oin, **what: Any) -> Refusal:
        """Say something that is refused."""
        (outcome,) = self.record(self.made(soort, by, to, **what))
        assert isinstance(outcome, Refusal), outcome
        return outcome

    def ask(self, **what: Any) -> str:
        """The helper asks for the balance."""
        return self.say("Saldoverzoek", SHV, SE, **what)

    def answer(self, question: str) -> str:
        """The creditor gives it."""
        return self.say("SaldoverzoekAntwoord", SE, SHV, cross=question)

    def recall(self, number: str, by: Oin = SHV, to: Oin = SE) -> str:
        """Take a message back."""
        return self.say("Intrekking", by, to, change={"ingetrokkenReferentienummer": number})

    def end(self, **what: Any) -> str:
        """The helper ends it."""
        return self.say("RegelingBeeindigd", SHV, SE, change={"reden": "VOORTIJDIG"}, **what)

    def later(self, **span: float) -> datetime:
        """Time passes, and the clock does what is due."""
        self.now += timedelta(**span)
        self.tick()
        return self.now

    def tick(self) -> None:
        """The clock looks once at everything."""
        for work in (self.ledger.follow, self.ledger.due_terms, self.ledger.notices):
            work(self.rules, self.now, 1_000)

    def stand(self) -> Stand:
        """What the rules remember."""
        query = sa.select(conversation.c.stand).where(conversation.c.stand.is_not(None))
        (row,) = rows(self.ledger, query.where(conversation.c.conversatie == self.thread))
        return stand.read(row.stand)

    def delivery(self, number: str) -> Any:
        """The row of the delivery of a message."""
        query = sa.select(delivery).join_from(delivery, message)
        (row,) = rows(self.ledger, query.where(message.c.referentienummer == number))
        return row

    def id_of(self, number: str) -> str:
        """The delivery id of a message."""
        return str(self.delivery(number).delivery_id)

    def content_is_there(self, number: str) -> bool:
        """Whether anything of what a message says is still kept."""
        query = sa.select(message.c.wrapped_key, message.c.canonical, message.c.original)
        (row,) = rows(self.ledger, query.where(message.c.referentienummer == number))
        return any(each is not None for each in row)

    def in_postbus(self, party: Oin) -> list[Json]:
        """What lies ready for a party, opened: the kind and what it says."""
        return [
            {"soort": each.kind.name, **next(iter(parse(each.canonical).values()))}
            for _, each in self.ledger.postbus(party, limit=100)
        ]

    def kinds_for(self, party: Oin) -> list[str]:
        """The kinds of what lies ready for a party."""
        return [str(each["soort"]) for each in self.in_postbus(party)]

    def happened(self, number: str) -> list[tuple[str, str | None]]:
        """What was signed about a message, with what came of it."""
        query = (
            sa.select(evidence.c.entry)
            .join_from(evidence, message, evidence.c.message == message.c.id)
            .where(message.c.referentienummer == number, evidence.c.entry.is_not(None))
            .order_by(evidence.c.log, evidence.c.number, evidence.c.place)
        )
        told = [parse(row.entry.encode()) for row in rows(self.ledger, query)]
        return [(each["soort"], each.get("gevolg")) for each in told]

    def letters(self, number: str) -> Sequence[Any]:
        """The dead letters of a message."""
        query = (
            sa.select(dead_letter)
            .join_from(dead_letter, delivery, dead_letter.c.delivery == delivery.c.id)
            .join(message, delivery.c.message == message.c.id)
        )
        return rows(self.ledger, query.where(message.c.referentienummer == number))
