"""A gateway whose process ends at a chosen effect, and begins again with what is on disk.

An effect is a transaction of the ledger, a hand-over to a recipient, or (``IN_BETWEEN``) each
statement and each commit inside a transaction. The ledger is the real one, opened again after each
crash; a crash inside a transaction gives it up, as the end of a process does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy import event

from fixtures.documents import document, kind
from fixtures.parties import fresh
from fixtures.pki import Pki
from fixtures.rules import courses
from fixtures.world import GATEWAY, SE, SHV, World
from gateway.adapters.jades import sign_digest
from gateway.adapters.keyring import Keyring
from gateway.adapters.keys import GatewayKeys
from gateway.adapters.ledger.ledger import SqlLedger, open_ledger
from gateway.adapters.register import directory_of
from gateway.adapters.signatures import Seal, Signatures
from gateway.dead_letter import Stranding
from gateway.delivery import DEFAULT_POLICY, Answer, Attempted, Reason
from gateway.message import (
    Channel,
    Delivery,
    Dialect,
    Door,
    Kind,
    Parcel,
    Receipt,
    Received,
    Submission,
    as_bytes,
)
from gateway.pipeline import Line, accept, admission, dispatch
from gateway.record import Outcome
from gateway.routing.directory import EMPTY, Party
from gateway.schemas import Catalogue
from gateway.schemas.persons import persons_in

NOON = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)
LEASE = timedelta(minutes=1)
LONGEST_WAIT = DEFAULT_POLICY.first_wait
"""What failed once is due again after this, at the latest."""
IN_BETWEEN = "in between"
SALDOVERZOEK = kind("schuldregeling", "Saldoverzoek")
STATUS = kind("schuldregeling", "StatusberichtShv")

Try = tuple[str, int, str]
"""One attempt: delivery id, number, answer."""


class Crash(BaseException):
    """Not an Exception: no handler may swallow the end of the process."""


@dataclass
class Fuse:
    """Ends the process at its n-th effect, before that happens or after, or at its n-th statement.

    Attributes:
        burnt: How many there were of what it counts.
    """

    blows_at: int
    when: str
    burnt: int = 0

    @contextmanager
    def effect(self) -> Iterator[None]:
        """Something that others can see happens inside."""
        self.burnt += self.when != IN_BETWEEN
        if (self.burnt, self.when) == (self.blows_at, "before"):
            raise Crash
        yield
        if (self.burnt, self.when) == (self.blows_at, "after"):
            raise Crash

    def watch(self, ledger: SqlLedger) -> None:
        """Count what this ledger asks of its database."""
        engine = ledger._database.engine
        event.listen(engine, "before_cursor_execute", self._statement)
        event.listen(engine, "commit", self._statement)

    def _statement(self, *_: object) -> None:
        if self.when != IN_BETWEEN:
            return
        self.burnt += 1
        if self.burnt == self.blows_at:
            raise Crash


ANSWERS = {Channel.PUSH: Answer.CONFIRMED, Channel.QUEUE: Answer.OFFERED}


@cache
def _keyring(folder: Path) -> Keyring:
    """Read once: a life opens its ledger again after each crash."""
    return Keyring.load(folder)


@dataclass
class Life:
    """A gateway with one recipient, and everything that outlives a crash of it.

    Attributes:
        late: Referentienummers of which the recipient cannot be reached the first time.
        rejected: Those which the recipient never takes.
        receipts: What the sender heard, by referentienummer.
        tried: Delivery ids of which the channel made an attempt, in that order.
        handed_over: Those in the order in which the recipient got them.
        said_no: Those to which it said no.
        told: Attempts (delivery id, number, answer) of which the ledger was told.
        known: Those that the ledger said to have kept.
    """

    world: World
    channel: Channel
    messages: Mapping[str, Received]
    line: Line
    fuse: Fuse
    late: frozenset[str] = frozenset()
    rejected: frozenset[str] = frozenset()
    now: datetime = NOON
    receipts: dict[str, bytes] = field(default_factory=dict)
    tried: list[str] = field(default_factory=list)
    handed_over: list[str] = field(default_factory=list)
    said_no: list[str] = field(default_factory=list)
    told: set[Try] = field(default_factory=set)
    known: set[Try] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.ledger = self._opened()
        directory = directory_of(*self.ledger.directory())
        self.fuse.watch(self.ledger)
        self.line = replace(
            self.line,
            directory=lambda: directory,
            courses=courses(directory),
            clock=lambda: self.now,
            record=self.record,
            channels={self.channel: self},
        )

    def _opened(self) -> SqlLedger:
        settings = self.world.settings
        return open_ledger(settings.ledger, _keyring(settings.keys))

    async def live(self) -> None:
        """Accept what the sender has no receipt of, and deliver all there is."""
        for number, message in self.messages.items():
            if number not in self.receipts:
                receipt = await accept(message, self.line)
                self.receipts[number] = receipt.document
        while leased := self.next_lease():
            for delivery in leased:
                conclusion = await dispatch(delivery, self.line)
                said = (delivery.id, delivery.attempt, conclusion.attempted.answer.value)
                self.told.add(said)
                with self.fuse.effect():
                    self.ledger.conclude([conclusion])
                self.known.add(said)
            self.now += LONGEST_WAIT

    async def record(self, submission: Submission) -> Receipt:
        """What the writer does, for one message at a time."""
        with self.fuse.effect():
            (outcome,) = self.ledger.record([submission], admission(self.line), self.now)
        assert isinstance(outcome, Receipt)
        return outcome

    def next_lease(self) -> list[Delivery]:
        """What is due, after the reader of a queue has confirmed or rejected what it has."""
        if self.channel is Channel.QUEUE:
            taken = [each for each in self.handed_over if each not in self.said_no]
            if taken:
                with self.fuse.effect():
                    self.ledger.confirm(SE, taken, self.now)
            if self.said_no:
                # the broker gives it to the keeper time and again, until that acknowledges it
                given_back = [
                    Stranding(each, Reason.GEWEIGERD, "", self.now) for each in self.said_no
                ]
                with self.fuse.effect():
                    self.ledger.strand(given_back)
        with self.fuse.effect():
            return self.ledger.lease(
                now=self.now, until=self.now + LEASE, limit=10, channels=frozenset({self.channel})
            )

    async def deliver(self, parcel: Parcel, party: Party) -> Attempted:
        """The channel: the recipient takes at once what is neither late nor rejected."""
        own, number = parcel.delivery.id, parcel.delivery.referentienummer
        late = number in self.late and own not in self.tried
        with self.fuse.effect():
            self.tried.append(own)
            if not late:
                self.handed_over.append(own)
                self.said_no += [own] * (number in self.rejected)
        if late:
            return Attempted(Answer.UNAVAILABLE)
        return Attempted(self.answer_to(number))

    def answer_to(self, number: str) -> Answer:
        """What the channel says when the recipient got this message; a queue never knows."""
        if number in self.rejected and self.channel is Channel.PUSH:
            return Answer.REJECTED
        return ANSWERS[self.channel]

    def restart(self) -> None:
        """Begin again with what is on disk, when the leases of before have run out."""
        self.ledger.close()
        self.ledger = self._opened()
        self.now += 2 * LEASE


@dataclass
class Together(Life):
    """Records in one transaction what the sender has no receipt of, as the writer does in a rush.

    Only that transaction is what the fuse counts.

    Attributes:
        group: What waits for that transaction.
        recorded: What came of each of them.
    """

    group: list[Submission] = field(default_factory=list)
    recorded: asyncio.Future[list[Outcome]] = field(default_factory=asyncio.Future)

    async def live(self) -> None:
        """Accept all at once, and deliver all there is."""
        self.group, self.recorded = [], asyncio.Future()
        try:
            answers = await asyncio.gather(
                *(accept(each, self.line) for each in self.messages.values())
            )
        finally:
            self.recorded.cancel()
        self.fuse.blows_at = 0
        self.receipts = {
            number: answer.document for number, answer in zip(self.messages, answers, strict=True)
        }
        await super().live()

    async def record(self, submission: Submission) -> Receipt:
        """Wait for the others; who comes last records them all."""
        place = len(self.group)
        self.group.append(submission)
        if len(self.group) == len(self.messages):
            with self.fuse.effect():
                outcomes = self.ledger.record(self.group, admission(self.line), self.now)
            self.recorded.set_result(outcomes)
        outcome = (await self.recorded)[place]
        assert isinstance(outcome, Receipt)
        return outcome


def two_messages(pki: Pki) -> dict[str, Received]:
    """Two messages of one conversation, signed, as the JSON door receives them."""
    return a_talk(pki, SALDOVERZOEK, STATUS)


def a_talk(pki: Pki, *kinds: Kind) -> dict[str, Received]:
    """Messages of these kinds in one conversation, signed, as the JSON door receives them."""
    sender, conversation = pki.party(SHV), fresh()
    assert isinstance(sender.key, rsa.RSAPrivateKey)
    made = {}
    for which in kinds:
        number = fresh()
        body = as_bytes(
            document(
                which,
                reference=number,
                conversation=conversation,
                sender=SHV,
                recipient=SE,
                at=NOON,
            )
        )
        digest, signature = sign_digest(body, sender.key, sender.cert)
        made[number] = Received(
            door=Door.REST_JSON,
            dialect=Dialect.JSON,
            body=body,
            at=NOON,
            signature=signature,
            digest=digest,
            transport=SHV,
        )
    return made


def a_line(world: World, catalogue: Catalogue) -> Line:
    """The real stations; ``Life`` puts in the ledger, the clock and the channel."""

    async def at_once(work: Callable[[], Submission], size: int) -> Submission:
        return work()

    async def nowhere(submission: Submission) -> Receipt:
        raise AssertionError("this life records through its own ledger")

    return Line(
        gateway=GATEWAY,
        catalogue=catalogue,
        persons=persons_in(catalogue),
        check=Signatures(),
        sealer=Seal(GatewayKeys.load(world.settings.keys)),
        digest_key=b"proef",
        url=world.settings.url,
        skew=timedelta(minutes=1),
        directory=lambda: EMPTY,
        courses=courses(),
        clock=lambda: NOON,
        draw=fresh,
        jitter=lambda: 0.5,
        quota=lambda _: None,
        run=at_once,
        record=nowhere,
        channels={},
    )
