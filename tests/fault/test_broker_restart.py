"""The broker dies, stops, or is short of disk or memory: what was accepted is delivered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import pytest_asyncio

from fixtures.world import SHV
from gateway.adapters.rabbitmq.topology import permissions
from tests.conftest import NewWorld
from tests.fault.broker_load import PARTIES, Flow, flowing, nothing_dead_at, seconds_until
from tests.fault.conftest import Counts
from tests.servers.party import eventually
from tests.servers.rabbitmq import Broker, Permissions, RabbitMQ

pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]

BACK_WITHIN = 10.0
"""Seconds after which deliveries and the intake go again, once the broker answers."""


@pytest_asyncio.fixture
async def flow(new_world: NewWorld, tmp_path: Path, broker: Broker) -> AsyncIterator[Flow]:
    world = new_world(tmp_path / "gateway", PARTIES, broker=broker.url)
    url = broker.user(SHV, Permissions(*permissions(SHV)))
    async with flowing(world, [url]) as started:
        yield started


@pytest.mark.parametrize(
    "end", [pytest.param(RabbitMQ.kill, id="killed"), pytest.param(RabbitMQ.stop, id="stopped")]
)
async def test_a_broker_that_goes_and_comes_back_under_load_loses_and_invents_nothing(
    flow: Flow, broker: Broker, counts: Counts, end: Callable[[RabbitMQ], None]
) -> None:
    async with flow.sending():
        await flow.until_received(30, "deliveries before")
        await asyncio.to_thread(end, broker.server)
        try:
            await flow.until_accepted(20)
        finally:
            await asyncio.to_thread(broker.server.start)
        received, confirmed = len(flow.shv.references), flow.states().get("bevestigd", 0)
        delivering = await seconds_until(
            lambda: len(flow.shv.references) > received, "deliveries go again"
        )
        taking = await seconds_until(
            lambda: flow.states().get("bevestigd", 0) > confirmed, "the intake reads again"
        )
    await nothing_dead_at(broker.url)
    await flow.settle(
        counts, f"broker {end.__name__}", deliveries_back_s=delivering, intake_back_s=taking
    )
    assert delivering + taking < BACK_WITHIN


Shortage = Callable[[RabbitMQ], AbstractContextManager[None]]


@pytest.mark.parametrize(
    "shortage",
    [
        pytest.param(RabbitMQ.short_of_disk, id="disk"),
        pytest.param(RabbitMQ.short_of_memory, id="memory"),
    ],
)
async def test_while_the_broker_is_short_accepting_goes_on_and_nobody_is_blamed(
    flow: Flow, broker: Broker, counts: Counts, shortage: Shortage
) -> None:
    async with flow.sending():
        await flow.until_received(20, "deliveries before")
        with shortage(broker.server):
            assert await asyncio.to_thread(broker.server.alarms)
            await eventually(lambda: unhealthy(flow), "the gateway notices")
            begun = set(flow.accepted)
            # longer than a connection that does not answer is kept: a new one is no better
            await flow.until_accepted(500, within=120)
        later = flow.accepted - begun
        back = await seconds_until(lambda: healthy(flow), "the gateway notices the end")
    await flow.settle(counts, f"broker {shortage.__name__}", healthy_after_s=back)
    assert {await flow.attempts(own) for own in sorted(later)[:50]} == {1}


async def healthy(flow: Flow) -> bool:
    """The gateway can publish, says its health page."""
    answer = await flow.reach.client.get(f"{flow.reach.url}/health/ready")
    return bool(answer.json()["status"] == "ok")


async def unhealthy(flow: Flow) -> bool:
    return not await healthy(flow)
