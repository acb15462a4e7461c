"""One party's queue that is full or stuck does not slow the queue of another, measured."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, contextmanager
from pathlib import Path

import httpx
import pytest
from aio_pika.abc import AbstractIncomingMessage
from pamqp.commands import Basic

from fixtures.parties import Creditor, fresh
from fixtures.running import Reach, as_process
from fixtures.world import MUNICIPALITY, OVERIGE_SHV, SE, SHV, Entry, two_way
from gateway import json
from gateway.adapters.courier import Pace
from gateway.adapters.rabbitmq.connection import BrokerConnection, QueueFull
from gateway.adapters.rabbitmq.topology import Limits, party_queue
from gateway.adapters.rabbitmq.wire import keep_bodies_out_of_logs
from gateway.delivery import State
from gateway.message import Oin
from gateway.schemas import Catalogue
from tests.conftest import NewWorld
from tests.e2e.here import a_notice
from tests.e2e.queue_party import holding
from tests.fault.conftest import Counts
from tests.fault.flooding import Connection, an_xml_post, resident
from tests.fault.load import FIRST
from tests.fault.test_neighbours import (
    MORE_MIB,
    ROUNDS,
    Clocked,
    Place,
    in_turn,
    slower,
)
from tests.servers.party import at_broker, eventually
from tests.servers.rabbitmq import Broker, RabbitMQ

pytestmark = pytest.mark.broker

SAMPLES = 75
AT_FIRST = Pace().slots + Pace().per_party
"""More for the ill neighbour than could be under way at once."""

SOON = {"herhalen": "{ eerste_wachttijd = 0.2, langste_wachttijd = 0.5 }"}
PARTIES = two_way(
    shv=Entry(SHV, "Gemeente Voorbeeldstad", MUNICIPALITY, kanaal="queue", more=SOON),
    overige_shv=Entry(OVERIGE_SHV, "Gemeente Voorbeelddam", MUNICIPALITY, kanaal="queue"),
)


@contextmanager
def brokers(server: RabbitMQ, count: int) -> Iterator[list[Broker]]:
    """So many clean virtual hosts on one node."""
    keep_bodies_out_of_logs()
    made = [Broker(server, f"test-{uuid.uuid4().hex[:12]}") for _ in range(count)]
    for each in made:
        server.add_vhost(each.vhost)
    yield made
    for each in made:
        server.retire_vhost(each.vhost)


@asynccontextmanager
async def a_place(folder: Path, new_world: NewWorld, broker: Broker) -> AsyncIterator[Place]:
    """A gateway on this broker whose healthy party reads its queue."""
    world = new_world(folder, PARTIES, broker=broker.url)
    url, healthy = world.settings.url, Clocked()
    with as_process(world) as process:
        place = Place(world, process, healthy, Connection(url), Connection(url))
        async with reading(broker, healthy):
            before = resident(process.pid)
            yield place
            place.grown_mib = round(resident(process.pid) - before, 1)
        await place.ours.close()
        await place.theirs.close()


@asynccontextmanager
async def reading(broker: Broker, healthy: Clocked) -> AsyncIterator[None]:
    """The healthy party takes all that comes, and its clock notes when."""

    async def take(message: AbstractIncomingMessage) -> None:
        healthy.came.setdefault(json.parse(message.body)["subject"], time.monotonic())
        healthy.news.set()
        await message.ack()

    async with at_broker(broker.url) as channel:
        queue = await channel.get_queue(party_queue(OVERIGE_SHV), ensure=False)
        await queue.consume(take)
        yield


async def fill(broker: Broker) -> int:
    """Let what is nobody's message lie in the neighbour's queue until it refuses more."""
    queue = party_queue(SHV)
    async with BrokerConnection(broker.url, name="vol") as connection:
        await connection.until_healthy()
        taken = 0

        async def one() -> bool:
            try:
                await connection.publish(
                    b"", Basic.Properties(), exchange="", key=queue, recipient=SHV
                )
            except QueueFull:
                return False
            return True

        while True:
            said = await asyncio.gather(*(one() for _ in range(1_000)))
            taken += sum(said)
            if not all(said):
                return taken


async def side_by_side(se: Creditor, places: Sequence[Place]) -> None:
    """The same at each place: messages to the healthy party, and as many to its neighbour.

    For the latter there is more than could be under way at once, from the beginning. What else
    the machine does slows all of them alike.
    """
    numbers = [fresh() for _ in range(SAMPLES)]
    posts = {number: a_post_to(se, OVERIGE_SHV, number) for number in numbers}
    at_first = [a_post_to(se, SHV) for _ in range(AT_FIRST)]
    asides = [a_post_to(se, SHV) for _ in posts]
    await in_turn(places, posts, at_first, asides)


def a_post_to(se: Creditor, recipient: Oin, reference: str | None = None) -> bytes:
    """A message in a conversation of its own."""
    made = a_notice(which=FIRST, sender=SE, recipient=recipient, reference=reference)
    return an_xml_post(se.signed(FIRST, made))


def standing(place: Place) -> dict[str, int]:
    """How many messages for the ill neighbour stand where."""
    with closing(place.world.ledger()) as ledger:
        return dict(ledger.overview()["parties"][SHV])


@asynccontextmanager
async def full(broker: Broker) -> AsyncIterator[None]:
    """The neighbour's queue takes no more, and who reads it acknowledges nothing."""
    filled = await fill(broker)
    assert filled >= Limits().messages
    async with at_broker(broker.url) as channel, holding(channel, party_queue(SHV)):
        yield


@asynccontextmanager
async def stuck(broker: Broker) -> AsyncIterator[None]:
    """The neighbour's queue answers nobody."""
    with broker.server.stuck_queue(broker.vhost, party_queue(SHV)):
        yield


@pytest.mark.timeout(300)
@pytest.mark.parametrize("trouble", [full, stuck])
async def test_a_neighbour_whose_queue_is_ill_at_most_doubles_what_a_healthy_party_waits(
    tmp_path: Path,
    new_world: NewWorld,
    catalogue: Catalogue,
    rabbitmq_server: RabbitMQ,
    counts: Counts,
    *,
    trouble: Callable[[Broker], AbstractAsyncContextManager[None]],
) -> None:
    sent = 0
    with brokers(rabbitmq_server, 2) as (one, two):
        async with (
            a_place(tmp_path / "alone", new_world, one) as alone,
            a_place(tmp_path / "ill", new_world, two) as ill,
            httpx.AsyncClient() as client,
        ):
            se = Reach(alone.world, catalogue, client).creditor(SE)
            async with trouble(two):
                for _ in range(ROUNDS):
                    await side_by_side(se, (alone, ill))
                    sent += AT_FIRST + SAMPLES
                    if not slower(alone, ill):
                        break
                meanwhile = standing(ill)
            if trouble is stuck:
                await eventually(
                    lambda: standing(ill).get(State.AANGEBODEN) == sent,
                    "what waited comes when the queue is well",
                    within=90,
                )

    figures = {
        f"{what}_{share}_{when}_ms": round(waited, 1)
        for when, place in (("without", alone), ("with", ill))
        for (what, share), waited in place.waited().items()
    }
    grown = {"grown_mib_without": alone.grown_mib, "grown_mib_with": ill.grown_mib}
    name = "a neighbour whose queue is full" if trouble is full else "a neighbour's stuck queue"
    counts(name, samples=SAMPLES, sent_to_it=sent, **figures, **grown)
    assert meanwhile == {State.WACHT: sent}, "the neighbour is well"
    assert slower(alone, ill) == []
    assert ill.grown_mib < alone.grown_mib + MORE_MIB
