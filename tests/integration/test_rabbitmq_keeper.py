"""Role *houder*: every dead letter of the broker comes into the ledger, with its reason."""

from __future__ import annotations

import asyncio
import logging
import os
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from datetime import timedelta

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from fixtures.world import World
from gateway.adapters.ledger.ledger import SqlLedger
from gateway.adapters.rabbitmq.connection import BrokerConnection
from gateway.adapters.rabbitmq.keeper import LARGEST_GARBAGE_BYTES, Keeper
from gateway.adapters.rabbitmq.queue_in import Intake, QueueIn
from gateway.adapters.rabbitmq.queue_out import QueueOut
from gateway.adapters.rabbitmq.self_check import self_check
from gateway.adapters.rabbitmq.topology import (
    GESTRAND,
    INZENDING,
    Limits,
    Topology,
    party_queue,
    permissions,
)
from gateway.dead_letter import DeadLetterFilter, Stranding
from gateway.delivery import Answer, Reason
from gateway.errors import LedgerUnavailable
from gateway.message import Channel
from tests.conformance.submissions import a_submission, admitting
from tests.fault.flooding import resident
from tests.servers.party import (
    GATEWAY,
    NOON,
    SHV,
    a_parcel,
    a_party,
    at_broker,
    depth,
    eventually,
    submit,
)
from tests.servers.rabbitmq import Broker, Permissions

pytestmark = pytest.mark.broker
LIMITS = Limits(deliveries=3)
TOPOLOGY = Topology(lambda: [SHV], LIMITS)
DUPLICATES = 10_000
AT_ONCE = 1_000
GROWTH_MIB = 40


@dataclass
class Ledger:
    """Keeps what is stranded, and fails as it is told."""

    kept: list[Stranding] = field(default_factory=list)
    trouble: list[Exception] = field(default_factory=list)
    refuses: frozenset[str] = frozenset()
    asked: int = 0
    crash: asyncio.Event | None = None

    async def strand(self, strandings: Sequence[Stranding]) -> None:
        self.asked += 1
        if self.crash is not None:
            self.crash.set()
            await asyncio.Event().wait()  # never commits
        if self.trouble:
            raise self.trouble.pop(0)
        if any(stranding.delivery_id in self.refuses for stranding in strandings):
            raise ZeroDivisionError("een fout van ons")
        self.kept += strandings


class Written(Ledger):
    """Writes them into a real ledger too."""

    def __init__(self, book: SqlLedger) -> None:
        super().__init__()
        self._book = book

    async def strand(self, strandings: Sequence[Stranding]) -> None:
        await super().strand(strandings)
        await asyncio.to_thread(self._book.strand, strandings)


@asynccontextmanager
async def keeping(broker: Broker, ledger: Ledger) -> AsyncIterator[Keeper]:
    connection = BrokerConnection(broker.url, name="houder", prepare=TOPOLOGY.declare)
    keeper = Keeper(connection, ledger.strand, clock=lambda: NOON, pause=timedelta(milliseconds=20))
    async with connection:
        await connection.until_healthy()
        running = asyncio.create_task(keeper.run())
        yield keeper
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def offer(broker: Broker) -> str:
    """A delivery in the party's queue; returns its id."""
    parcel = a_parcel()
    async with BrokerConnection(broker.url, name="uit", prepare=TOPOLOGY.declare) as connection:
        await connection.until_healthy()
        attempted = await QueueOut(connection, GATEWAY).deliver(parcel, a_party())
    assert attempted.answer is Answer.OFFERED
    return parcel.delivery.id


async def reject_one(broker: Broker) -> None:
    """The party's system says no."""
    async with at_broker(broker.user(SHV, Permissions(*permissions(SHV)))) as channel:
        rejected = asyncio.Event()
        await channel.set_qos(prefetch_count=1)

        async def on_message(message: AbstractIncomingMessage) -> None:
            if not rejected.is_set():
                rejected.set()
                await message.reject(requeue=False)

        await (await channel.get_queue(party_queue(SHV), ensure=False)).consume(on_message)
        await asyncio.wait_for(rejected.wait(), 10)


async def crash_on_one(broker: Broker) -> None:
    """The party's system takes one message and dies with it in hand."""
    async with at_broker(broker.user(SHV, Permissions(*permissions(SHV)))) as channel:
        taken = asyncio.Event()

        async def on_message(_message: AbstractIncomingMessage) -> None:
            taken.set()

        await (await channel.get_queue(party_queue(SHV), ensure=False)).consume(on_message)
        await asyncio.wait_for(taken.wait(), 10)


async def bury(channel: AbstractChannel, body: bytes, **properties: object) -> None:
    """Lay something among the dead letters that the broker did not bring there."""
    exchange = await channel.get_exchange(GESTRAND, ensure=False)
    message = aio_pika.Message(body, delivery_mode=2, **properties)  # type: ignore[arg-type]
    await exchange.publish(message, routing_key="")


async def nothing_dead_at_the_broker(broker: Broker) -> None:
    async with at_broker(broker.url) as channel:

        async def empty() -> bool:
            return await depth(channel, GESTRAND) == 0

        await eventually(empty, "everything acknowledged")


async def test_a_rejected_delivery_is_a_dead_letter_within_seconds(broker: Broker) -> None:
    ledger = Ledger()
    async with keeping(broker, ledger):
        delivery_id = await offer(broker)

        await reject_one(broker)

        await eventually(lambda: bool(ledger.kept), "the dead letter", within=5)
    expected = Stranding(delivery_id, Reason.GEWEIGERD, "rejected", NOON, ontvanger=SHV)
    assert [replace(each, garbage=None) for each in ledger.kept] == [expected]
    assert delivery_id.encode() in (ledger.kept[0].garbage or b""), "the last copy"


async def test_a_delivery_on_which_the_subscriber_crashes_strands_at_the_limit(
    broker: Broker,
) -> None:
    ledger = Ledger()
    async with keeping(broker, ledger):
        delivery_id = await offer(broker)

        for _ in range(LIMITS.deliveries + 1):
            assert ledger.kept == []
            await crash_on_one(broker)

        await eventually(lambda: bool(ledger.kept), "the dead letter", within=5)
    expected = Stranding(delivery_id, Reason.AFLEVERLIMIET, "delivery-limit", NOON, ontvanger=SHV)
    assert [replace(each, garbage=None) for each in ledger.kept] == [expected]


async def test_a_keeper_that_dies_before_the_commit_leaves_the_letter_to_the_next(
    broker: Broker,
) -> None:
    dying = Ledger(crash=asyncio.Event())
    async with keeping(broker, dying):
        delivery_id = await offer(broker)
        await reject_one(broker)
        assert dying.crash is not None
        await asyncio.wait_for(dying.crash.wait(), 10)

    ledger = Ledger()
    async with keeping(broker, ledger):
        await eventually(lambda: bool(ledger.kept), "the next keeper has it")

    assert [stranding.delivery_id for stranding in ledger.kept] == [delivery_id]
    assert dying.kept == []


async def test_while_the_ledger_is_down_letters_wait_and_are_not_lost(broker: Broker) -> None:
    ledger = Ledger(trouble=[LedgerUnavailable("de database antwoordt niet")] * 10)
    async with keeping(broker, ledger):
        await offer(broker)
        await reject_one(broker)

        await eventually(lambda: bool(ledger.kept), "kept after all")
        await nothing_dead_at_the_broker(broker)

    assert ledger.asked == 11


async def test_what_died_while_the_broker_was_killed_is_kept_too(broker: Broker) -> None:
    ledger = Ledger(trouble=[LedgerUnavailable("nog niet")] * 1_000_000)
    async with keeping(broker, ledger):
        delivery_id = await offer(broker)
        await reject_one(broker)
        await eventually(lambda: ledger.asked > 0, "the keeper has it in hand")
        await asyncio.to_thread(broker.server.kill)
        await asyncio.to_thread(broker.server.start)

        ledger.trouble.clear()

        await eventually(lambda: bool(ledger.kept), "kept after the restart")
    assert ledger.kept[0].delivery_id == delivery_id


GARBAGE: dict[str, tuple[bytes, dict[str, object]]] = {
    "empty": (b"", {}),
    "binary": (bytes(range(256)), {}),
    "huge": (b"x" * (5 * 1024 * 1024), {}),
    "reason of another shape": (b"a", {"headers": {"x-death": "rejected"}}),
    "no reason": (b"a", {"message_id": str(uuid.uuid4())}),
    "reason without a queue": (b"a", {"headers": {"x-death": [{"reason": "rejected"}]}}),
    "unknown reason": (
        b"a",
        {
            "message_id": str(uuid.uuid4()),
            "headers": {"x-death": [{"queue": party_queue(SHV), "reason": "verveling"}]},
        },
    ),
    "another queue": (
        b"a",
        {
            "message_id": str(uuid.uuid4()),
            "headers": {"x-death": [{"queue": "vreemd", "reason": "rejected"}]},
        },
    ),
    "no delivery id": (
        b"a",
        {
            "message_id": "' OR 1=1",
            "headers": {"x-death": [{"queue": party_queue(SHV), "reason": "rejected"}]},
        },
    ),
}


async def test_garbage_is_kept_as_garbage_and_stops_nothing(broker: Broker) -> None:
    ledger = Ledger()
    async with keeping(broker, ledger), at_broker(broker.url) as channel:
        for body, properties in GARBAGE.values():
            await bury(channel, body, **properties)
        delivery_id = await offer(broker)
        await reject_one(broker)

        def has_come() -> bool:
            return delivery_id in [stranding.delivery_id for stranding in ledger.kept]

        await eventually(has_come, "the real dead letter")
        await nothing_dead_at_the_broker(broker)

    garbage = [stranding for stranding in ledger.kept if stranding.delivery_id is None]
    assert {stranding.reason for stranding in garbage} == {Reason.ONLEESBAAR}
    assert {stranding.garbage for stranding in garbage} == {
        body[:LARGEST_GARBAGE_BYTES] for body, _ in GARBAGE.values()
    }


async def test_ten_thousand_of_the_same_are_one_dead_letter_within_bounded_memory(
    broker: Broker, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "aiormq")  # a line per frame would be most of the work
    lost = a_submission(ontvanger=SHV)
    death = {"x-death": [{"queue": party_queue(SHV), "reason": "rejected"}]}
    async with at_broker(broker.url) as channel:
        await TOPOLOGY.declare(channel)
        for _ in range(0, DUPLICATES, AT_ONCE):
            await asyncio.gather(
                *(
                    bury(channel, b"a", message_id=lost.delivery_id, headers=death)
                    for _ in range(AT_ONCE)
                )
            )
        assert await depth(channel, GESTRAND) == DUPLICATES
    with closing(world.ledger()) as book:
        book.record([lost], admitting(Channel.QUEUE), NOON)
        ledger, before = Written(book), resident(os.getpid())
        async with keeping(broker, ledger):
            await nothing_dead_at_the_broker(broker)
        grown = resident(os.getpid()) - before

        (dead,) = book.dead_letters(DeadLetterFilter(resolved=True))
        assert (dead.delivery_id, dead.reason) == (lost.delivery_id, Reason.GEWEIGERD)
        assert book.audit() == []
    assert {replace(each, garbage=None) for each in ledger.kept} == {
        Stranding(lost.delivery_id, Reason.GEWEIGERD, "rejected", NOON, ontvanger=SHV)
    }
    assert len(ledger.kept) == ledger.asked, "what waits together is kept as one"
    assert grown < GROWTH_MIB


async def test_a_letter_that_the_ledger_cannot_take_is_kept_as_garbage(broker: Broker) -> None:
    ledger = Ledger()
    async with keeping(broker, ledger):
        good = [await offer(broker), await offer(broker)]
        bad = await offer(broker)
        ledger.refuses = frozenset({bad})

        for _ in range(3):
            await reject_one(broker)

        await eventually(lambda: len(ledger.kept) == 3, "all three")
        await nothing_dead_at_the_broker(broker)
    assert {stranding.delivery_id for stranding in ledger.kept} == {*good, None}


async def test_the_gateways_own_trial_is_no_dead_letter(broker: Broker) -> None:
    ledger = Ledger()
    async with keeping(broker, ledger), at_broker(broker.url) as channel:
        await self_check(channel, LIMITS)
        await nothing_dead_at_the_broker(broker)
        delivery_id = await offer(broker)
        await reject_one(broker)
        await eventually(lambda: bool(ledger.kept), "a real one")

    assert [stranding.delivery_id for stranding in ledger.kept] == [delivery_id]


async def test_a_party_cannot_invent_the_death_of_a_delivery(broker: Broker) -> None:
    victim = str(uuid.uuid4())
    forged = {"x-death": [{"queue": party_queue(SHV), "reason": "rejected", "count": 1}]}
    ledger = Ledger()

    async def never(*_: object) -> None:
        raise AssertionError("nothing may get through the door")

    consuming = BrokerConnection(broker.url, name="in", prepare=TOPOLOGY.declare)
    intake = Intake(never, never, never, never, never)  # type: ignore[arg-type]
    QueueIn(consuming, consuming, intake, clock=lambda: NOON)
    async with keeping(broker, ledger), consuming:
        await consuming.until_healthy()
        async with at_broker(broker.user(SHV, Permissions(*permissions(SHV)))) as party:
            await submit(party, b"{}", message_id=victim, headers=forged)  # no user_id
        await eventually(lambda: bool(ledger.kept), "the refused submission")

    assert ledger.kept == [Stranding(None, Reason.ONLEESBAAR, "inzending", NOON, garbage=b"{}")]
    assert INZENDING not in str(ledger.kept[0].delivery_id)
