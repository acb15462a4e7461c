"""The channel *queue* keeps the contract of every way out, on a real broker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from gateway.adapters.rabbitmq.connection import BrokerConnection
from gateway.adapters.rabbitmq.queue_out import QueueOut
from gateway.adapters.rabbitmq.topology import Limits, Topology, party_queue
from gateway.delivery import Answer, Attempted
from gateway.message import Oin
from tests.servers.party import (
    GATEWAY,
    OTHER,
    SHV,
    a_parcel,
    a_party,
    at_broker,
    depth,
    take,
    take_many,
)
from tests.servers.rabbitmq import Broker

pytestmark = pytest.mark.broker


@asynccontextmanager
async def a_channel(broker: Broker, limits: Limits | None = None) -> AsyncIterator[QueueOut]:
    topology = Topology(lambda: [SHV], limits)
    async with BrokerConnection(broker.url, name="uit", prepare=topology.declare) as connection:
        await connection.until_healthy()
        yield QueueOut(connection, GATEWAY)


async def test_offered_means_that_it_lies_in_the_partys_queue(broker: Broker) -> None:
    parcel = a_parcel()

    async with a_channel(broker) as out, at_broker(broker.url) as client:
        attempted = await out.deliver(parcel, a_party())

        message = await take(client, party_queue(SHV))
    assert attempted == Attempted(Answer.OFFERED)
    assert message.body == parcel.body


async def test_a_delivery_carries_its_identity_and_signature_and_nothing_else(
    broker: Broker,
) -> None:
    parcel = a_parcel()

    async with a_channel(broker) as out, at_broker(broker.url) as client:
        await out.deliver(parcel, a_party())
        message = await take(client, party_queue(SHV))

    assert message.routing_key == f"{SHV}.schuldregeling.kennisgeving.v2"
    assert message.message_id == parcel.delivery.id
    assert message.type == "nl.schuldhulpverlening.schuldregeling.kennisgeving.v2"
    assert message.app_id == f"urn:nld:oin:{GATEWAY}:systeem:gateway"
    assert message.content_type == "application/cloudevents+json"
    assert message.delivery_mode == 2
    assert dict(message.headers) == {"payload-signature": "kop..handtekening"}


async def test_what_was_offered_survives_the_broker(broker: Broker) -> None:
    parcel = a_parcel()
    async with a_channel(broker) as out:
        assert (await out.deliver(parcel, a_party())).answer is Answer.OFFERED

        broker.server.kill()
        broker.server.start()

    async with at_broker(broker.url) as client:
        assert (await take(client, party_queue(SHV))).message_id == parcel.delivery.id


async def test_without_a_queue_it_is_unroutable(broker: Broker) -> None:
    async with a_channel(broker) as out:
        attempted = await out.deliver(a_parcel(ontvanger=OTHER), a_party(OTHER))

    assert attempted == Attempted(Answer.UNROUTABLE, note="geen-wachtrij")


async def test_a_full_queue_refuses_and_loses_nothing(broker: Broker) -> None:
    offered = []
    async with (
        a_channel(broker, Limits(messages=3)) as out,
        at_broker(broker.url) as client,
    ):
        while (attempted := await out.deliver(a_parcel(), a_party())).answer is Answer.OFFERED:
            offered.append(attempted)
            assert len(offered) < 20, "the bound has no effect"

        assert attempted == Attempted(Answer.UNAVAILABLE, note="vol")
        assert await depth(client, party_queue(SHV)) == len(offered) >= 3


async def test_a_full_queue_of_one_party_does_not_stop_another(broker: Broker) -> None:
    topology = Topology(lambda: [SHV, OTHER], Limits(messages=1))
    async with BrokerConnection(broker.url, name="uit", prepare=topology.declare) as connection:
        await connection.until_healthy()
        out = QueueOut(connection, GATEWAY)
        await asyncio.gather(*(out.deliver(a_parcel(), a_party()) for _ in range(10)))

        attempted = await out.deliver(a_parcel(ontvanger=OTHER), a_party(OTHER))

    assert attempted.answer is Answer.OFFERED


async def test_a_stuck_queue_of_one_party_does_not_hold_up_another(broker: Broker) -> None:
    topology = Topology(lambda: [SHV, OTHER])
    async with BrokerConnection(
        broker.url,
        name="uit",
        prepare=topology.declare,
        publish_timeout=timedelta(seconds=3),
    ) as connection:
        await connection.until_healthy()
        out = QueueOut(connection, GATEWAY)
        with broker.server.stuck_queue(broker.vhost, party_queue(SHV)):
            stuck = [asyncio.create_task(out.deliver(a_parcel(), a_party())) for _ in range(20)]
            free = [await out.deliver(a_parcel(ontvanger=OTHER), a_party(OTHER)) for _ in range(20)]
            attempts = await asyncio.gather(*stuck)

    assert {attempt.answer for attempt in free} == {Answer.OFFERED}
    assert set(attempts) == {Attempted(Answer.UNAVAILABLE, note="broker")}


async def test_without_a_broker_it_is_unavailable_at_once() -> None:
    nowhere = "amqp://niemand:niets@127.0.0.1:9/x"
    async with BrokerConnection(nowhere, name="uit") as connection, asyncio.timeout(1):
        attempted = await QueueOut(connection, GATEWAY).deliver(a_parcel(), a_party())

    assert attempted == Attempted(Answer.UNAVAILABLE, note="broker")


async def test_a_broker_that_does_not_answer_is_unavailable_in_time(broker: Broker) -> None:
    async with BrokerConnection(
        broker.url,
        name="uit",
        prepare=Topology(lambda: [SHV]).declare,
        publish_timeout=timedelta(seconds=0.5),
    ) as connection:
        await connection.until_healthy()
        out = QueueOut(connection, GATEWAY)

        with broker.server.frozen():
            async with asyncio.timeout(5):
                attempts = await asyncio.gather(
                    *(out.deliver(a_parcel(), a_party()) for _ in range(50))
                )

    assert set(attempts) == {Attempted(Answer.UNAVAILABLE, note="broker")}


async def test_many_at_once_each_get_their_own_answer(broker: Broker) -> None:
    recipients = [SHV if number % 3 else OTHER for number in range(300)]

    async with a_channel(broker) as out, at_broker(broker.url) as client:
        attempts = await asyncio.gather(
            *(out.deliver(a_parcel(ontvanger=oin), a_party(oin)) for oin in recipients)
        )

        expected = {SHV: Answer.OFFERED, OTHER: Answer.UNROUTABLE}
        assert [attempt.answer for attempt in attempts] == [expected[oin] for oin in recipients]
        assert await depth(client, party_queue(SHV)) == recipients.count(SHV)


async def test_a_subscriber_gets_them_in_the_order_in_which_they_were_offered(
    broker: Broker,
) -> None:
    parcels = [a_parcel() for _ in range(50)]

    async with a_channel(broker) as out, at_broker(broker.url) as client:
        for parcel in parcels:
            await out.deliver(parcel, a_party())
        seen = await take_many(client, party_queue(SHV), len(parcels))

    assert [message.message_id for message in seen] == [parcel.delivery.id for parcel in parcels]


@pytest.mark.parametrize("size", [0, 200_000, 4 * 1024 * 1024])
async def test_a_body_arrives_whole(broker: Broker, size: int) -> None:
    parcel = a_parcel(size=size)

    async with a_channel(broker) as out, at_broker(broker.url) as client:
        await out.deliver(parcel, a_party())

        assert (await take(client, party_queue(SHV))).body == parcel.body


def test_the_envelope_is_a_cloudevent_without_personal_data_in_its_attributes() -> None:
    parcel = a_parcel()

    event = json.loads(parcel.body)

    assert event.pop("data") == {"aflevering": {"vulling": ""}}
    assert event == {
        "specversion": "1.0",
        "id": parcel.delivery.id,
        "source": f"urn:nld:oin:{GATEWAY}:systeem:gateway",
        "type": "nl.schuldhulpverlening.schuldregeling.kennisgeving.v2",
        "subject": parcel.delivery.referentienummer,
        "time": "2026-11-02T12:00:00.000Z",
        "datacontenttype": "application/json",
    }


def test_a_party_is_reached_by_its_oin_alone() -> None:
    assert party_queue(Oin(SHV)) == f"partij.{SHV}"
