"""Two parties, a ledger and a clock: everything that can happen to one conversation, by name."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa

from fixtures.documents import document, kind, merge
from fixtures.rules import courses
from fixtures.world import ALL_MODULES, GATEWAY, SE, SHV
from gateway.adapters.ledger.ledger import SqlLedger
from gateway.adapters.ledger.lending import lent, open_all
from gateway.adapters.ledger.tables import conversation, dead_letter, delivery, message, unresolved
from gateway.dead_letter import Stranding
from gateway.delivery import DEFAULT_POLICY, Answer, Attempted, Reason, State, after
from gateway.json import parse
from gateway.message import (
    Canonical,
    Channel,
    Dialect,
    Door,
    Json,
    Oin,
    Received,
    Signer,
    Submission,
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
from gateway.routing.table import CODE_MEMBERS
from gateway.schemas.translate import header_of
from tests.conformance.submissions import a_uuid
from tests.unit.talking import module_of

START = datetime(2026, 3, 2, 11, tzinfo=UTC)
SKEW = timedelta(seconds=60)
AT_ONCE = 50
ALL_AT_ONCE = 1000
RIGHTS = Rights()
SINCE = date(2020, 1, 1)


@dataclass(frozen=True)
class OfTheGateway:
    """What the gateway told somebody about the conversation.

    Attributes:
        after_the_end: It was recorded when the conversation was over.
    """

    soort: str
    about: str
    to: Oin
    last_day: str | None
    after_the_end: bool


class Cut(Exception):
    """The connection broke before the commit."""


@dataclass
class Conversing:
    """One conversation between a helper and a creditor, on a ledger.

    Attributes:
        sent: What was accepted, by number, in order.
        heard: What the gateway told the parties, in order.
    """

    ledger: SqlLedger
    channel: Channel
    convenant: str | None = None
    name: str = "een"
    now: datetime = START
    sent: dict[str, Submission] = field(default_factory=dict)
    receipts: dict[str, bytes] = field(default_factory=dict)
    heard: list[OfTheGateway] = field(default_factory=list)
    ended_at: datetime | None = None
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _read_up_to: int = 0

    def __post_init__(self) -> None:
        modules = frozenset(ALL_MODULES)
        parties = {
            SHV: Party(SHV, "helper", frozenset({"shv-fase-2"}), modules, ()),
            SE: Party(
                SE,
                "creditor",
                frozenset({"schuldeiser"}),
                modules,
                (),
                channel=self.channel,
                convenant=self.convenant,
                statusverzoek_toegestaan=False,
            ),
        }
        rights = tuple(
            BsnRight(party, None, module, "WGS", SINCE, None, partner=True)
            for party in parties
            for module in ALL_MODULES
        )
        self.directory = Directory(1, parties, bsn_rights=rights)
        self.courses: Courses = courses(self.directory, draw=partial(self._fresh, "gateway"))
        self.thread = a_uuid("gesprek", self.name)

    def _fresh(self, what: str) -> str:
        return a_uuid(self.name, what, next(self._numbers))

    # --- what parties do ---------------------------------------------------------------------

    def say(
        self,
        soort: str,
        by: Oin,
        *,
        als: str | None = None,
        cross: str | None = None,
        vervangt: str | None = None,
        change: Json | None = None,
    ) -> Outcome:
        """Send the example of a kind."""
        which = kind(module_of(soort), soort)
        other = SE if by == SHV else SHV
        made = document(
            which,
            reference=self._fresh("bericht"),
            conversation=self.thread,
            sender=by,
            recipient=other,
            at=self.now,
            cross=cross,
        )
        ((root, body),) = made.items()
        if als is not None:
            body[CODE_MEMBERS[soort]] = als
        if vervangt is not None:
            body["stuurgegevens"]["vervangt"] = vervangt
        merge(made[root], change or {})
        header = header_of(made)
        received = Received(Door.REST_JSON, Dialect.JSON, as_bytes(made), self.now)
        verified = Verified(received, Signer(by, "0" * 64, "PS256"), made)
        submission = Submission(
            Canonical(verified, which, header, made),
            hashlib.sha256(as_bytes(made)).hexdigest(),
            as_bytes(made),
            self._fresh("bewijs"),
            self._fresh("aflevering"),
        )
        return self.hand_in(submission)

    def hand_in(self, submission: Submission) -> Outcome:
        """Offer a message to the ledger, for the first time or again."""
        station = partial(
            admit,
            directory=self.directory,
            rights=RIGHTS,
            courses=self.courses,
            gateway=GATEWAY,
            skew=SKEW,
        )
        (outcome,) = self.ledger.record([submission], station, self.now)
        if not isinstance(outcome, Exception):
            self.sent.setdefault(outcome.referentienummer, submission)
            self.receipts.setdefault(outcome.referentienummer, outcome.document)
        self.listen()
        return outcome

    def collect(self, number: str) -> None:
        """Its recipient takes a message from its postbus, without confirming it."""
        told = self.sent[number]
        self.ledger.collect(told.message.header.ontvanger, [told.delivery_id], self.now)

    def confirm(self, number: str) -> None:
        """Its recipient confirms a message."""
        told = self.sent[number]
        self.ledger.confirm(told.message.header.ontvanger, [told.delivery_id], self.now)

    # --- what becomes of deliveries ----------------------------------------------------------

    def deliver(self, answer: Answer) -> None:
        """Whatever may go to a queue or an endpoint goes there, and comes to this."""
        taken = self.ledger.lease(
            now=self.now,
            until=self.now + timedelta(minutes=5),
            limit=AT_ONCE,
            channels=frozenset({Channel.PUSH, Channel.QUEUE}),
        )
        done = []
        for each in taken:
            told = after(
                each,
                Attempted(answer),
                policy=DEFAULT_POLICY,
                started_at=self.now,
                ended_at=self.now,
                jitter=0.0,
            )
            last = self.courses.stamped(each, self.now).tot_en_met
            done.append(replace(told, tot_en_met=last))
        self.ledger.conclude(done)

    def strand(self, number: str) -> None:
        """A recipient says that it cannot read a message."""
        told = self.sent[number]
        self.ledger.strand(
            [
                Stranding(
                    told.delivery_id,
                    Reason.GEWEIGERD,
                    "SCHEMA_ONGELDIG",
                    self.now,
                    ontvanger=told.message.header.ontvanger,
                )
            ]
        )

    def letters(self) -> list[int]:
        """Dead letters with which something can be done."""
        query = sa.select(dead_letter.c.id).where(unresolved(dead_letter))
        with self.ledger._database.reading() as connection:
            return list(connection.scalars(query.order_by(dead_letter.c.id)))

    def repair(self, how: str, letters: Sequence[int]) -> None:
        """An operator replays, discards or releases dead letters."""
        does = getattr(self.ledger, how)
        does(letters, by="beheerder", why="proef", at=self.now)

    # --- what happens by itself ---------------------------------------------------------------

    def follow(self) -> None:
        """The conversation hears what became of its messages."""
        while self.ledger.follow(self.courses, self.now, AT_ONCE):
            pass
        self.listen()

    def work(self) -> None:
        """The clock does all that is due now."""
        self.follow()
        while self.ledger.due_terms(self.courses, self.now, AT_ONCE):
            self.listen()
        while self.ledger.notices(self.courses, self.now, AT_ONCE):
            pass
        self.listen()

    def advance(self, until: datetime, *, asleep: bool) -> None:
        """Time passes; the clock works all the while, or only at the end."""
        while not asleep and (due := self.ledger.next_term()) is not None and due < until:
            self.now = max(self.now, due)
            self.work()
        self.now = until
        self.work()

    @contextmanager
    def cut(self) -> Iterator[None]:
        """The next commit does not come through; nothing of what was done may stay."""

        def fail(connection: sa.Connection) -> None:
            raise Cut

        engine = self.ledger._database.engine
        sa.event.listen(engine, "commit", fail)
        try:
            yield
        except Cut:
            pass
        finally:
            sa.event.remove(engine, "commit", fail)

    # --- what there is to see -----------------------------------------------------------------

    @property
    def stand(self) -> Stand:
        """Where the conversation stands."""
        return stand.read(self._row().stand if self._row() else None)

    def _row(self) -> Any:
        low, high = sorted((SHV, SE))
        query = sa.select(conversation).where(
            conversation.c.conversatie == self.thread,
            conversation.c.party_a == low,
            conversation.c.party_b == high,
        )
        with self.ledger._database.reading() as connection:
            return connection.execute(query).one_or_none()

    def next_term(self) -> datetime | None:
        """When something falls due in it."""
        row = self._row()
        due: datetime | None = None if row is None else row.next_term
        return due

    def delivery_states(self) -> dict[str, State]:
        """The state of the delivery of every message of the parties, by number."""
        query = (
            sa.select(message.c.referentienummer, delivery.c.state)
            .join_from(delivery, message, delivery.c.message == message.c.id)
            .where(message.c.conversatie == self.thread, message.c.afzender != GATEWAY)
        )
        with self.ledger._database.reading() as connection:
            return {row.referentienummer: State(row.state) for row in connection.execute(query)}

    def listen(self) -> None:
        """Note what the gateway said since, and whether the conversation was over then."""
        mine = sa.and_(
            message.c.id > self._read_up_to,
            message.c.conversatie == self.thread,
            message.c.afzender == GATEWAY,
            message.c.erased_at.is_(None),
        )
        with self.ledger._database.reading() as connection:
            rows = connection.execute(lent().where(mine).order_by(message.c.id)).all()
            found, _ = open_all(connection, rows, self.ledger._keyring.vault)
        over = self.ended_at is not None
        for row, each in found:
            ((_, body),) = parse(each.canonical).items()
            self.heard.append(
                OfTheGateway(
                    each.kind.name,
                    body["stuurgegevens"].get("crossReferentienummer", ""),
                    each.ontvanger,
                    body.get("termijnTotEnMet"),
                    over,
                )
            )
            self._read_up_to = row.message
        if self.stand.ended and self.ended_at is None:
            self.ended_at = self.now


Make = Callable[[], SqlLedger]
