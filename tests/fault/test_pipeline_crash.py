"""The process ends at its first effect, then at its second, …: nothing is lost or invented.

An effect is a transaction of the ledger, a hand-over to a recipient, or (``IN_BETWEEN``) each
statement and each commit inside a transaction. The ledger is the real one, opened again after each
crash; a crash inside a transaction gives it up, as the end of a process does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy import event

from fixtures.documents import document, kind
from fixtures.keyring import a_keyring
from fixtures.parties import fresh
from fixtures.pki import Pki
from fixtures.rules import courses
from fixtures.world import GATEWAY, SE, SHV, Entry, World
from gateway.adapters.jades import sign_digest
from gateway.adapters.keys import GatewayKeys
from gateway.adapters.ledger.ledger import SqlLedger, open_ledger
from gateway.adapters.register import directory_of
from gateway.adapters.signatures import Seal, Signatures
from gateway.delivery import Answer, Attempted
from gateway.message import (
    Channel,
    Delivery,
    Dialect,
    Door,
    Parcel,
    Receipt,
    Received,
    Submission,
    as_bytes,
)
from gateway.pipeline import Line, accept, admission, dispatch
from gateway.routing.directory import EMPTY, Party
from gateway.schemas import Catalogue
from gateway.schemas.persons import persons_in
from tests.conftest import NewWorld
from tests.fault.conftest import Counts

NOON = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)
LEASE = timedelta(minutes=1)
IN_BETWEEN = "in between"
SALDOVERZOEK = kind("schuldregeling", "Saldoverzoek")
STATUS = kind("schuldregeling", "StatusberichtShv")


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


@dataclass
class Life:
    """A gateway with one recipient, and everything that outlives a crash of it.

    Attributes:
        receipts: What the sender heard, by referentienummer.
        handed_over: Delivery ids in the order in which the recipient got them.
    """

    address: str
    channel: Channel
    messages: Mapping[str, Received]
    line: Line
    fuse: Fuse
    now: datetime = NOON
    receipts: dict[str, bytes] = field(default_factory=dict)
    handed_over: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ledger = open_ledger(self.address, a_keyring())
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

    async def live(self) -> None:
        """Accept what the sender has no receipt of, and deliver all there is."""
        for number, message in self.messages.items():
            if number not in self.receipts:
                receipt = await accept(message, self.line)
                self.receipts[number] = receipt.document
        while leased := self.next_lease():
            for delivery in leased:
                conclusion = await dispatch(delivery, self.line)
                with self.fuse.effect():
                    self.ledger.conclude([conclusion])

    async def record(self, submission: Submission) -> Receipt:
        """What the writer does, for one message at a time."""
        with self.fuse.effect():
            (outcome,) = self.ledger.record([submission], admission(self.line), self.now)
        assert isinstance(outcome, Receipt)
        return outcome

    def next_lease(self) -> list[Delivery]:
        """What is due, after the reader of a queue has confirmed what it has."""
        if self.channel is Channel.QUEUE and self.handed_over:
            with self.fuse.effect():
                self.ledger.confirm(SE, self.handed_over, self.now)
        with self.fuse.effect():
            return self.ledger.lease(
                now=self.now, until=self.now + LEASE, limit=10, channels=frozenset({self.channel})
            )

    async def deliver(self, parcel: Parcel, party: Party) -> Attempted:
        """The channel: the recipient takes everything at once."""
        with self.fuse.effect():
            self.handed_over.append(parcel.delivery.id)
        return Attempted(ANSWERS[self.channel])

    def restart(self) -> None:
        """Begin again with what is on disk, when the leases of before have run out."""
        self.ledger.close()
        self.ledger = open_ledger(self.address, a_keyring())
        self.now += 2 * LEASE


@pytest.fixture(params=[Channel.PUSH, Channel.QUEUE])
def channel(request: pytest.FixtureRequest) -> Channel:
    made: Channel = request.param
    return made


@pytest.fixture(params=["sqlite-file", pytest.param("postgres", marks=pytest.mark.database)])
def town(
    request: pytest.FixtureRequest, new_world: NewWorld, tmp_path: Path, channel: Channel
) -> World:
    """An SHV that sends to a creditor on this channel; nothing is started."""
    address = {"adres": '"https://se.example/berichten"'} if channel is Channel.PUSH else {}
    given = {}
    if request.param == "postgres":
        given["ledger"] = str(request.getfixturevalue("postgres_url"))
    return new_world(
        tmp_path / "gateway",
        [
            Entry(SHV, "Gemeente Voorbeeldstad", "shv-fase-2"),
            Entry(SE, "Energie Voorbeeld B.V.", "schuldeiser", kanaal=channel, more=address),
        ],
        **given,
    )


@pytest.mark.timeout(300)
@pytest.mark.parametrize("when", ["before", "after", IN_BETWEEN])
async def test_no_crash_loses_invents_or_reorders_a_message(
    town: World, channel: Channel, catalogue: Catalogue, when: str, counts: Counts
) -> None:
    if (when, channel) == (IN_BETWEEN, Channel.PUSH):
        pytest.skip("the queue has the same transactions, and one more")
    line = a_line(town, catalogue)
    for blows_at in count(1):
        messages = two_messages(town.pki)
        life = Life(town.settings.ledger, channel, messages, line, Fuse(blows_at, when))

        crashed = await crashes(life)
        if crashed:
            life.restart()
            await life.live()

        kept = [life.ledger.message(SHV, number) for number in messages]
        standing = {SE: {"bevestigd": blows_at * len(messages)}}
        assert life.ledger.overview()["parties"] == standing
        assert [view.receipt for view in kept if view] == list(life.receipts.values())
        ids = [view.delivery_id for view in kept if view]
        assert list(dict.fromkeys(life.handed_over)) == ids
        assert len(life.handed_over) <= len(ids) + 1, "more than one repeat"
        life.ledger.close()
        if not crashed:
            assert blows_at > 4 * len(messages), "not every effect was an end"
            counts(f"crash {when}, {channel}", ends=blows_at - 1, accepted=2 * blows_at, lost=0)
            return


async def crashes(life: Life) -> bool:
    """Whether the fuse blew before everything was done; what follows is no effect any more."""
    try:
        await life.live()
    except Crash:
        return True
    finally:
        life.fuse.blows_at = 0
    return False


def two_messages(pki: Pki) -> dict[str, Received]:
    """Two messages of one conversation, signed, as the JSON door receives them."""
    sender, conversation = pki.party(SHV), fresh()
    assert isinstance(sender.key, rsa.RSAPrivateKey)
    made = {}
    for which in (SALDOVERZOEK, STATUS):
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
