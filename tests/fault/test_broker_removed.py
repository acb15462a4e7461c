"""Somebody removes a queue, its content or an exchange: it is made and filled again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from fixtures.parties import now
from fixtures.world import SHV
from gateway.adapters.rabbitmq.connection import BrokerConnection
from gateway.adapters.rabbitmq.keeper import Keeper
from gateway.adapters.rabbitmq.queue_out import QueueOut
from gateway.adapters.rabbitmq.topology import (
    BERICHTEN,
    GESTRAND,
    INZENDING,
    Topology,
    party_queue,
    permissions,
)
from gateway.adapters.rabbitmq.upkeep import Refill, Upkeep
from gateway.dead_letter import Stranding
from gateway.delivery import Answer
from tests.conftest import NewWorld
from tests.e2e.operator import operator
from tests.fault.broker_load import PARTIES, Flow, flowing, nothing_dead_at, seconds_until
from tests.fault.conftest import Counts
from tests.servers.party import GATEWAY, NOON, a_parcel, a_party, at_broker, depth, eventually
from tests.servers.rabbitmq import SETTLES_WITHIN, Broker, Permissions

pytestmark = [pytest.mark.broker, pytest.mark.timeout(120)]

QUEUE = party_queue(SHV)
MENDED_WITHIN = 20.0
"""Seconds; shorter than waiting until somebody happens to look."""


@pytest_asyncio.fixture
async def flow(new_world: NewWorld, tmp_path: Path, broker: Broker) -> AsyncIterator[Flow]:
    """Nobody reads yet."""
    world = new_world(tmp_path / "gateway", PARTIES, broker=broker.url)
    url = broker.user(SHV, Permissions(*permissions(SHV)))
    async with flowing(world, [url], reads=False) as started:
        yield started


async def until_settled(since: float) -> None:
    """RabbitMQ 3.10 deletes a queue badly while its dead-letter worker is still starting."""
    await eventually(lambda: time.monotonic() > since + SETTLES_WITHIN, "the queue has settled")


async def test_a_deleted_queue_is_made_again_and_filled_with_what_was_not_confirmed(
    flow: Flow, broker: Broker, counts: Counts
) -> None:
    begun = time.monotonic()
    async with flow.sending():
        await flow.until_accepted(30)
        await until_settled(begun)
        async with at_broker(broker.url) as admin:
            assert await depth(admin, QUEUE) > 0
            await admin.queue_delete(QUEUE)
        await flow.until_accepted(10)
        flow.read()
        await flow.until_received(30, "deliveries after")
    await nothing_dead_at(broker.url)
    await flow.settle(counts, "queue deleted, nobody reading")


async def test_a_queue_that_is_deleted_while_it_is_read_loses_nothing(
    flow: Flow, broker: Broker, counts: Counts
) -> None:
    begun = time.monotonic()
    flow.read()
    async with flow.sending():
        await flow.until_received(20, "deliveries before")
        await until_settled(begun)
        async with at_broker(broker.url) as admin:
            await admin.queue_delete(QUEUE)
        received = len(flow.shv.references)
        back = await seconds_until(
            lambda: len(flow.shv.references) > received + 30, "deliveries after"
        )
    await flow.settle(counts, "queue deleted under load", thirty_more_after_s=back)
    assert back < MENDED_WITHIN


async def test_what_was_offered_before_a_deletion_and_written_after_it_is_offered_again(
    flow: Flow, counts: Counts
) -> None:
    services = flow.gateway.services
    noticed = iter([now() + timedelta(hours=1)])
    refill = Refill(
        services.writer,
        services.ledger,
        services.line.directory,
        clock=lambda: next(noticed, now()),
        again=services.news.ring,
        later=timedelta(seconds=1),
    )
    await refill.gone([SHV])  # nothing is offered yet, says the ledger

    own = await flow.tell()

    async def tried_twice() -> bool:
        return await flow.attempts(own) == 2

    await eventually(tried_twice, "offered again")
    await refill.close()
    before = now() - timedelta(hours=1)
    assert services.ledger.refill(SHV, before, now(), until=before) == 0
    flow.read()
    await flow.settle(counts, "written after the refill")


async def test_a_queue_that_its_party_purged_is_filled_by_the_operators_command(
    flow: Flow, broker: Broker, counts: Counts
) -> None:
    sent = [await flow.tell() for _ in range(20)]
    await eventually(lambda: flow.states() == {"aangeboden": len(sent)}, "all are offered")
    async with at_broker(flow.shv.urls[0]) as party:
        await (await party.get_queue(QUEUE, ensure=False)).purge()
    flow.read()
    new = await flow.tell()
    waiting = {"aangeboden": len(sent), "bevestigd": 1}
    await eventually(lambda: flow.states() == waiting, "only the new one comes")
    assert {*flow.shv.references.values()} == {new}

    since = f"{now() - timedelta(hours=1):%Y-%m-%dT%H:%M:%S}"
    said = operator(flow.reach.world, "rabbitmq", "hervullen", SHV, "--sinds", since)

    assert said.startswith(f"{len(sent)} afleveringen")
    await flow.settle(counts, "queue purged by its party")


async def test_a_missing_exchange_of_deliveries_stops_nothing(
    flow: Flow, broker: Broker, counts: Counts
) -> None:
    flow.read()
    async with flow.sending():
        await flow.until_received(10, "deliveries before")
        async with at_broker(broker.url) as admin:
            await admin.exchange_delete(BERICHTEN)
        await flow.until_received(20, "deliveries after")
    await flow.settle(counts, "exchange gateway.berichten deleted")


# what nobody notices by publishing


TOPOLOGY = Topology(lambda: [SHV])
Removal = Callable[[AbstractChannel], Awaitable[object]]


async def party_queue_gone(channel: AbstractChannel) -> None:
    await channel.queue_delete(QUEUE)


async def deliveries_exchange_gone(channel: AbstractChannel) -> None:
    await channel.exchange_delete(BERICHTEN)


async def submissions_exchange_gone(channel: AbstractChannel) -> None:
    await channel.exchange_delete(INZENDING)


async def dead_letter_exchange_gone(channel: AbstractChannel) -> None:
    await channel.exchange_delete(GESTRAND)


async def dead_letter_queue_gone(channel: AbstractChannel) -> None:
    await channel.queue_delete(GESTRAND)


async def party_binding_gone(channel: AbstractChannel) -> None:
    await (await channel.get_queue(QUEUE)).unbind(BERICHTEN, f"{SHV}.#")


async def dead_letter_binding_gone(channel: AbstractChannel) -> None:
    await (await channel.get_queue(GESTRAND)).unbind(GESTRAND, "#")


REMOVALS = (
    deliveries_exchange_gone,
    submissions_exchange_gone,
    dead_letter_exchange_gone,
    dead_letter_queue_gone,
    party_binding_gone,
    dead_letter_binding_gone,
    party_queue_gone,  # last: what comes for it may not be deleted for some seconds
)


@asynccontextmanager
async def upkept(broker: Broker) -> AsyncIterator[Upkeep]:
    """Somebody looks all the time."""
    upkeep = Upkeep([broker.url], TOPOLOGY.declare, timedelta(milliseconds=100))
    looking = asyncio.create_task(upkeep.run())
    try:
        yield upkeep
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


async def test_whatever_is_removed_comes_back_by_itself(broker: Broker, counts: Counts) -> None:
    async with at_broker(broker.url) as admin:
        begun = time.monotonic()
        await TOPOLOGY.declare(admin)
        await until_settled(begun)
        whole = await asyncio.to_thread(definitions, broker)
        async with upkept(broker):
            for remove in REMOVALS:
                await remove(admin)
                await eventually(lambda: definitions(broker) == whole, f"{remove.__name__} mended")
    counts("removed and back", removals=len(REMOVALS))


def definitions(broker: Broker) -> object:
    """Everything that is declared in this virtual host."""
    return broker.server.definitions(broker.vhost)


@pytest.mark.parametrize(
    "remove", [dead_letter_exchange_gone, dead_letter_binding_gone], ids=["exchange", "binding"]
)
async def test_what_dies_while_there_is_no_way_to_the_dead_letters_is_kept_afterwards(
    broker: Broker, counts: Counts, remove: Removal
) -> None:
    kept: list[Stranding] = []

    async def strand(strandings: Sequence[Stranding]) -> None:
        kept.extend(strandings)

    async with BrokerConnection(broker.url, name="t", prepare=TOPOLOGY.declare) as connection:
        keeper = Keeper(connection, strand, clock=lambda: NOON)
        connection.renew()  # so that it subscribes
        keeping = asyncio.create_task(keeper.run())
        await connection.until_healthy()
        parcels = [a_parcel(ontvanger=SHV) for _ in range(5)]
        for parcel in parcels:
            attempted = await QueueOut(connection, GATEWAY).deliver(parcel, a_party(SHV))
            assert attempted.answer is Answer.OFFERED
        async with at_broker(broker.url) as admin:
            await remove(admin)
            await reject(admin, len(parcels))
            assert kept == []
            async with upkept(broker):
                died = {parcel.delivery.id for parcel in parcels}
                await eventually(
                    lambda: {each.delivery_id for each in kept} == died, "all are kept", within=30
                )
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
    counts(f"{remove.__name__}", rejected=len(parcels), dead_letters=len(died))


async def reject(channel: AbstractChannel, count: int) -> None:
    """The party's system says no, so many times."""
    done = asyncio.Semaphore(0)

    async def on_message(message: AbstractIncomingMessage) -> None:
        await message.reject(requeue=False)
        done.release()

    await (await channel.get_queue(QUEUE, ensure=False)).consume(on_message)
    async with asyncio.timeout(10):
        for _ in range(count):
            await done.acquire()
