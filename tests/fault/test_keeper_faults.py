"""Role houder: two at once, one killed, one dying between its commit and its acknowledgement."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from aio_pika.abc import AbstractIncomingMessage

from fixtures.running import as_process
from fixtures.world import SHV, World, free_port
from gateway.adapters.clock import utc_now
from gateway.adapters.rabbitmq.connection import BrokerConnection
from gateway.adapters.rabbitmq.keeper import Keeper
from gateway.adapters.rabbitmq.topology import Topology, party_queue, permissions
from gateway.dead_letter import DeadLetter, DeadLetterFilter, Stranding
from tests.conftest import NewWorld
from tests.e2e.queue_party import subscribed
from tests.fault.broker_load import PARTIES, Flow, flowing, nothing_dead_at
from tests.fault.conftest import Counts
from tests.servers.party import at_broker, eventually
from tests.servers.rabbitmq import Broker, Permissions

pytestmark = [pytest.mark.broker, pytest.mark.timeout(120)]

ROUND = 30
"""Deliveries that are rejected in one go."""


@pytest_asyncio.fixture
async def flow(new_world: NewWorld, tmp_path: Path, broker: Broker) -> AsyncIterator[Flow]:
    """A gateway without a keeper, whose municipality does not read yet."""
    world = new_world(tmp_path / "gateway", PARTIES, broker=broker.url, roles="ontvangen,bezorgen")
    url = broker.user(SHV, Permissions(*permissions(SHV)))
    async with flowing(world, [url], reads=False) as started:
        yield started


def keeper_of(world: World) -> World:
    """The same gateway as a process that only keeps."""
    health = str(free_port())
    own = {
        "GATEWAY_ROLES": "houder",
        "GATEWAY_PORT": str(free_port()),
        "GATEWAY_ADMIN_PORT": health,
        "GATEWAY_URL": f"http://127.0.0.1:{health}",
    }
    return replace(world, environment={**world.environment, **own})


async def offered(flow: Flow, count: int) -> None:
    """So many more lie on the queue."""
    before = flow.states().get("aangeboden", 0)
    for _ in range(count):
        await flow.tell()
    await eventually(lambda: flow.states().get("aangeboden") == before + count, "all are offered")


@asynccontextmanager
async def rejecting(flow: Flow) -> AsyncIterator[list[str]]:
    """The municipality rejects whatever comes, for as long as this lasts."""
    rejected: list[str] = []

    async def reject(message: AbstractIncomingMessage) -> None:
        await message.reject(requeue=False)
        rejected.append(str(message.message_id))

    async with (
        at_broker(flow.shv.urls[0]) as channel,
        subscribed(channel, party_queue(SHV), reject),
    ):
        yield rejected


def dead_letters(flow: Flow) -> list[DeadLetter]:
    return flow.gateway.services.ledger.dead_letters(DeadLetterFilter(resolved=True))


async def until_each_is_dead_once(flow: Flow, broker: Broker, rejected: Sequence[str]) -> None:
    """All of these, in the end, and nothing more."""
    await eventually(lambda: len(dead_letters(flow)) >= len(rejected), "all are dead letters")
    await nothing_dead_at(broker.url)
    assert sorted(str(each.delivery_id) for each in dead_letters(flow)) == sorted(rejected)
    assert flow.states() == {"gestrand": len(rejected)}
    assert await asyncio.to_thread(flow.flaws) == []


async def test_two_keepers_at_once_and_one_of_them_killed_keep_each_dead_letter_once(
    flow: Flow, broker: Broker, counts: Counts
) -> None:
    await offered(flow, ROUND)
    async with AsyncExitStack() as stack:
        one, _ = [
            stack.enter_context(await asyncio.to_thread(as_process, keeper_of(flow.reach.world)))
            for _ in range(2)
        ]
        async with rejecting(flow) as rejected:
            await eventually(lambda: len(rejected) == ROUND, "the first round is rejected")
            await until_each_is_dead_once(flow, broker, rejected)

            for _ in range(ROUND):
                await flow.tell()
            await eventually(lambda: len(rejected) > ROUND + 5, "the second round")
            one.kill()

            await eventually(lambda: len(rejected) == 2 * ROUND, "the second round is rejected")
            await until_each_is_dead_once(flow, broker, rejected)
    counts(
        "two keepers, one killed",
        accepted=len(flow.accepted),
        rejected=len(rejected),
        dead_letters=len(dead_letters(flow)),
    )


async def test_a_keeper_that_dies_between_commit_and_acknowledgement_makes_no_second_dead_letter(
    flow: Flow, broker: Broker, counts: Counts
) -> None:
    services = flow.gateway.services
    committed: asyncio.Queue[int] = asyncio.Queue()

    async def keep(strandings: Sequence[Stranding]) -> None:
        await services.writer.run(services.ledger.strand, strandings)

    async def keep_and_die(strandings: Sequence[Stranding]) -> None:
        await keep(strandings)
        committed.put_nowait(len(strandings))
        await asyncio.Event().wait()

    await offered(flow, ROUND)
    async with rejecting(flow) as rejected:
        async with keeping(broker, keep_and_die):
            await asyncio.wait_for(committed.get(), 30)
        before = len(dead_letters(flow))
        assert before > 0
        async with keeping(broker, keep):
            await eventually(lambda: len(rejected) == ROUND, "all are rejected")
            await until_each_is_dead_once(flow, broker, rejected)
    counts(
        "keeper dead between commit and ack",
        rejected=len(rejected),
        committed_before_its_death=before,
        dead_letters=len(dead_letters(flow)),
    )


@asynccontextmanager
async def keeping(
    broker: Broker, strand: Callable[[Sequence[Stranding]], Awaitable[None]]
) -> AsyncIterator[None]:
    """A keeper over a connection of its own; at the end the connection is gone, as it is."""
    connection = BrokerConnection(broker.url, name="houder", prepare=Topology().declare)
    keeper = Keeper(connection, strand, clock=utc_now)
    async with connection:
        running = asyncio.create_task(keeper.run())
        try:
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
