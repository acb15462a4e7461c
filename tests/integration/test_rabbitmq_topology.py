"""What the gateway declares on the broker, and who may touch it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aio_pika.exceptions import ChannelClosed

from gateway.adapters.rabbitmq.connection import BrokerConnection
from gateway.adapters.rabbitmq.self_check import BrokerMisbehaves, self_check
from gateway.adapters.rabbitmq.topology import (
    GESTRAND,
    Topology,
    TopologyConflict,
    answer_queue,
    party_queue,
    permissions,
)
from gateway.errors import BrokerUnavailable
from gateway.message import Oin
from tests.servers.party import OTHER, SHV, at_broker, depth, eventually, submit
from tests.servers.rabbitmq import Broker, Permissions

pytestmark = pytest.mark.broker


@asynccontextmanager
async def declared(broker: Broker) -> AsyncIterator[AbstractChannel]:
    async with at_broker(broker.url) as channel:
        await Topology(lambda: [SHV, OTHER]).declare(channel)
        yield channel


def party_url(broker: Broker, oin: Oin) -> str:
    return broker.user(oin, Permissions(*permissions(oin)))


async def test_declaring_twice_changes_nothing(broker: Broker) -> None:
    async with declared(broker) as channel:
        first = sorted(broker.queues(), key=lambda queue: queue.name)

        await Topology(lambda: [OTHER, SHV, SHV]).declare(channel)

        assert sorted(broker.queues(), key=lambda queue: queue.name) == first


async def test_every_queue_is_a_bounded_quorum_queue_with_a_delivery_limit(broker: Broker) -> None:
    async with declared(broker):
        queues = {queue.name: queue for queue in broker.queues()}

    assert set(queues) == {
        "gateway.gestrand",
        "gateway.inzending",
        *(party_queue(oin) for oin in (SHV, OTHER)),
        *(answer_queue(oin) for oin in (SHV, OTHER)),
    }
    for queue in queues.values():
        assert queue.kind == "quorum"
        for bound in ("x-delivery-limit", "x-max-length", "x-max-length-bytes"):
            value = queue.arguments[bound]
            assert isinstance(value, int)
            assert value > 0
    for name in (party_queue(SHV), "gateway.inzending"):
        assert queues[name].arguments["x-dead-letter-strategy"] == "at-least-once"
        assert queues[name].arguments["x-overflow"] == "reject-publish"
    assert queues[party_queue(SHV)].arguments["x-single-active-consumer"] is True


async def test_a_queue_with_other_arguments_is_a_conflict_that_says_so(broker: Broker) -> None:
    async with at_broker(broker.url) as channel:
        await channel.declare_queue(party_queue(SHV), durable=True)

    async with at_broker(broker.url) as channel:
        with pytest.raises(TopologyConflict, match="other arguments"):
            await Topology(lambda: [SHV]).declare(channel)


async def test_a_connection_that_cannot_declare_is_unhealthy_and_says_why(broker: Broker) -> None:
    async with at_broker(broker.url) as channel:
        await channel.declare_queue(GESTRAND, durable=True)

    async with BrokerConnection(broker.url, name="t", prepare=Topology().declare) as connection:
        with pytest.raises(BrokerUnavailable):
            await connection.until_healthy(timedelta(seconds=1))

        assert not connection.healthy
        await eventually(lambda: "other arguments" in connection.problem, "it says why")


async def test_a_party_reads_its_own_queues_and_writes_submissions(broker: Broker) -> None:
    async with declared(broker), at_broker(party_url(broker, SHV)) as party:
        for name in (party_queue(SHV), answer_queue(SHV)):
            await reads(party, name)

        await submit(party, b"{}", user_id=SHV)


Attempt = Callable[[AbstractChannel], Awaitable[object]]


async def leave_it(_message: AbstractIncomingMessage) -> None:
    return


async def reads(channel: AbstractChannel, name: str) -> None:
    queue = await channel.get_queue(name, ensure=False)
    await queue.consume(leave_it)


async def writes(channel: AbstractChannel, exchange: str, key: str) -> None:
    target = await channel.get_exchange(exchange, ensure=False)
    await target.publish(aio_pika.Message(b"{}"), routing_key=key)


FORBIDDEN: dict[str, Attempt] = {
    "reads another party's deliveries": lambda channel: reads(channel, party_queue(OTHER)),
    "reads another party's answers": lambda channel: reads(channel, answer_queue(OTHER)),
    "reads the submissions of all": lambda channel: reads(channel, "gateway.inzending"),
    "reads the dead letters": lambda channel: reads(channel, GESTRAND),
    "writes deliveries": lambda channel: writes(channel, "gateway.berichten", f"{OTHER}.x.y.v1"),
    "writes dead letters": lambda channel: writes(channel, GESTRAND, ""),
    "writes into a queue": lambda channel: writes(channel, "", party_queue(OTHER)),
    "declares a queue": lambda channel: channel.declare_queue("eigen"),
    "declares an exchange": lambda channel: channel.declare_exchange("eigen"),
    "deletes its own queue": lambda channel: channel.queue_delete(party_queue(SHV)),
    "writes in another's name": lambda channel: submit(channel, b"{}", user_id=OTHER),
}


@pytest.mark.parametrize("what", FORBIDDEN)
async def test_the_broker_refuses_a_party_that(broker: Broker, what: str) -> None:
    async with declared(broker) as channel, at_broker(party_url(broker, SHV)) as party:
        with pytest.raises(ChannelClosed, match=r"ACCESS_REFUSED|PRECONDITION_FAILED"):
            await FORBIDDEN[what](party)

        assert await depth(channel, "gateway.inzending") == 0


@pytest.mark.parametrize("oin", ["", ".*", "0000009900000000100", "00000099000000001001|x"])
def test_permissions_are_only_for_an_oin(oin: str) -> None:
    with pytest.raises(ValueError, match="20 digits"):
        permissions(Oin(oin))


async def test_a_sound_broker_passes_its_check_and_keeps_no_scratch_queue(broker: Broker) -> None:
    async with declared(broker) as channel:
        await self_check(channel)

        assert [queue.name for queue in broker.queues() if "proef" in queue.name] == []


async def unbind_dead_letters(channel: AbstractChannel) -> None:
    await (await channel.get_queue(GESTRAND)).unbind(GESTRAND, "#")


async def delete_dead_letters(channel: AbstractChannel) -> None:
    await channel.queue_delete(GESTRAND)


async def delete_dead_letter_exchange(channel: AbstractChannel) -> None:
    await channel.exchange_delete(GESTRAND)


async def catch_everything(channel: AbstractChannel) -> None:
    await (await channel.declare_queue("alles")).bind("gateway.berichten", "#")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (unbind_dead_letters, "no queue is bound to gateway.gestrand"),
        (delete_dead_letters, "no queue is bound to gateway.gestrand"),
        (delete_dead_letter_exchange, "is missing on the broker"),
        (catch_everything, "a message for nobody is not returned"),
    ],
)
async def test_a_damaged_broker_fails_its_check_with_a_sentence(
    broker: Broker, damage: Callable[[AbstractChannel], Awaitable[None]], sentence: str
) -> None:
    async with declared(broker) as channel:
        await damage(channel)

        with pytest.raises(BrokerMisbehaves, match=sentence):
            await self_check(channel)
