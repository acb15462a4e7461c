"""A connection owner keeps its promises while the broker does not."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from types import ModuleType

import aio_pika.exceptions
import aiormq.exceptions
import pamqp.exceptions
import pytest
from aio_pika.abc import AbstractChannel
from pamqp.commands import Basic

from gateway.adapters.rabbitmq.connection import TROUBLE, BrokerConnection, Unroutable
from gateway.adapters.rabbitmq.consumer import Letter
from gateway.adapters.rabbitmq.queue_out import QueueOut
from gateway.adapters.rabbitmq.topology import INZENDING, Topology, answer_queue, party_queue
from gateway.delivery import Answer
from gateway.errors import BrokerUnavailable
from gateway.message import Oin
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
    take_all,
)
from tests.servers.rabbitmq import Broker

TOPOLOGY = Topology(lambda: [SHV])


@asynccontextmanager
async def connected(broker: Broker, **settings: timedelta) -> AsyncIterator[BrokerConnection]:
    async with BrokerConnection(
        broker.url, name="test", prepare=TOPOLOGY.declare, **settings
    ) as connection:
        await connection.until_healthy()
        yield connection


async def publish(connection: BrokerConnection, message_id: str, body: bytes = b"{}") -> None:
    properties = Basic.Properties(message_id=message_id, delivery_mode=2)
    await connection.publish(body, properties, exchange="", key=answer_queue(SHV), recipient=SHV)


async def publishes(connection: BrokerConnection, message_id: str) -> bool:
    """Whether that is confirmed in time."""
    try:
        await publish(connection, message_id)
    except BrokerUnavailable:
        return False
    return True


class Inbox:
    """Keeps what a subscription hands over."""

    def __init__(self) -> None:
        self.letters: list[Letter] = []

    @property
    def ids(self) -> list[str | None]:
        return [letter.properties.message_id for letter in self.letters]

    def holds(self, place: int) -> bool:
        """Whether so many came before this one, and it too."""
        return len(self.letters) > place


@asynccontextmanager
async def consuming(
    broker: Broker,
    inbox: Inbox,
    *,
    queue: str = INZENDING,
    prefetch: int = 10,
    watch_every: timedelta = timedelta(seconds=0.1),
) -> AsyncIterator[BrokerConnection]:
    connection = BrokerConnection(
        broker.url,
        name="test-in",
        prepare=TOPOLOGY.declare,
        watch_every=watch_every,
    )
    connection.subscribe(queue, prefetch=prefetch, receive=inbox.letters.append)
    async with connection:
        await connection.until_healthy()
        yield connection


@pytest.mark.broker
async def test_nothing_confirmed_is_lost_when_the_broker_is_killed(broker: Broker) -> None:
    confirmed: list[str] = []
    failed = asyncio.Event()

    async def publish_for_ever(connection: BrokerConnection, name: str) -> None:
        for number in range(1_000_000):
            try:
                await publish(connection, f"{name}-{number}")
            except BrokerUnavailable:
                failed.set()
                await asyncio.wait_for(connection.until_healthy(), 30)
            else:
                confirmed.append(f"{name}-{number}")

    async with connected(broker) as connection:
        publishers = [
            asyncio.create_task(publish_for_ever(connection, f"p{number}")) for number in range(20)
        ]
        await eventually(lambda: len(confirmed) > 200, "confirmed publishes")
        await asyncio.to_thread(broker.server.kill)
        await asyncio.wait_for(failed.wait(), 10)
        await asyncio.to_thread(broker.server.start)
        before = len(confirmed)
        await eventually(lambda: len(confirmed) > before + 200, "publishing goes on by itself")
        for publisher in publishers:
            publisher.cancel()
        await asyncio.gather(*publishers, return_exceptions=True)

    async with at_broker(broker.url) as channel:
        arrived = {message.message_id for message in await take_all(channel, answer_queue(SHV))}
    assert set(confirmed) <= arrived


@pytest.mark.broker
async def test_a_consumer_gets_everything_after_the_broker_was_killed(broker: Broker) -> None:
    inbox = Inbox()
    async with consuming(broker, inbox):
        async with at_broker(broker.url) as channel:
            await submit(channel, b"{}", message_id="voor")
        await eventually(lambda: inbox.ids == ["voor"], "the first letter")

        await asyncio.to_thread(broker.server.kill)
        await asyncio.to_thread(broker.server.start)

        assert inbox.letters[0].lost
        await inbox.letters[0].ack()  # too late: it has no effect and does no harm
        async with at_broker(broker.url) as channel:
            await submit(channel, b"{}", message_id="na")
        await eventually(lambda: inbox.ids == ["voor", "voor", "na"], "both after the restart")


@pytest.mark.broker
async def test_what_was_in_hand_when_the_broker_was_killed_wedges_nothing_with_a_full_prefetch(
    broker: Broker,
) -> None:
    inbox = Inbox()
    in_hand, sent = 5, [str(number) for number in range(25)]
    async with consuming(broker, inbox, prefetch=in_hand):
        async with at_broker(broker.url) as channel:
            for each in sent:
                await submit(channel, b"{}", message_id=each)
        await eventually(lambda: len(inbox.letters) == in_hand, "as many as fit")
        old = list(inbox.letters)

        await asyncio.to_thread(broker.server.kill)
        await asyncio.to_thread(broker.server.start)
        for letter in old[:-1]:
            assert letter.lost
            await letter.ack()
        await eventually(lambda: len(inbox.letters) == 2 * in_hand, "as many again")
        await old[-1].ack()  # late: one of the same number is in hand by now
        with pytest.raises(AssertionError):  # several looks of the watchdog pass
            await eventually(lambda: len(inbox.letters) > 2 * in_hand, "no more", within=0.6)
        for place in range(in_hand, in_hand + len(sent)):
            await eventually(partial(inbox.holds, place), "the next one")
            await inbox.letters[place].ack()

        async with at_broker(broker.url) as channel:
            await eventually(lambda: empty(channel), "nothing lies there any more")
    again = inbox.letters[in_hand:]
    assert sorted(letter.properties.message_id or "" for letter in again) == sorted(sent)
    marked = {each.properties.message_id for each in again if each.headers.get("x-delivery-count")}
    assert {each.properties.message_id for each in old} <= marked


async def empty(channel: AbstractChannel) -> bool:
    """Nothing waits for the intake."""
    return await depth(channel, INZENDING) == 0


@pytest.mark.broker
async def test_an_orderly_restart_is_survived_too(broker: Broker) -> None:
    async with connected(broker) as connection:
        await asyncio.to_thread(broker.server.restart)
        await eventually(lambda: connection.healthy, "healthy again")

        await publish(connection, "na")


async def test_without_a_broker_a_publish_fails_at_once_and_the_process_lives() -> None:
    async with BrokerConnection("amqp://niemand:niets@127.0.0.1:9/x", name="test") as connection:
        async with asyncio.timeout(1):
            with pytest.raises(BrokerUnavailable):
                await publish(connection, "a")

        assert not connection.healthy


@pytest.mark.broker
async def test_a_silent_broker_is_noticed_and_used_again_when_it_speaks(broker: Broker) -> None:
    async with connected(
        broker, publish_timeout=timedelta(seconds=0.3), watch_every=timedelta(seconds=0.2)
    ) as connection:
        with broker.server.frozen():
            async with asyncio.timeout(5):
                with pytest.raises(BrokerUnavailable):
                    await publish(connection, "a")
            await eventually(lambda: not connection.healthy, "the silence is noticed")

        await eventually(lambda: connection.healthy, "healthy again")
        await eventually(lambda: publishes(connection, "b"), "it confirms again as fast as it must")


@pytest.mark.broker
async def test_a_wrong_password_says_so(broker: Broker) -> None:
    wrong = broker.server.url(broker.vhost, "niemand", "fout")
    async with BrokerConnection(wrong, name="test") as connection:
        with pytest.raises(BrokerUnavailable):
            await connection.until_healthy(timedelta(seconds=0.5))


@pytest.mark.broker
async def test_an_unroutable_message_is_told_apart(broker: Broker) -> None:
    async with connected(broker) as connection:
        with pytest.raises(Unroutable):
            await connection.publish(
                b"{}", Basic.Properties(), exchange="", key="bestaat-niet", recipient=""
            )

        await publish(connection, "b")


@pytest.mark.broker
async def test_publishing_to_a_missing_exchange_mends_itself(broker: Broker) -> None:
    async with connected(broker) as connection:
        async with at_broker(broker.url) as channel:
            await channel.exchange_delete("gateway.berichten")
        out = QueueOut(connection, GATEWAY)

        assert (await out.deliver(a_parcel(), a_party())).answer is Answer.UNAVAILABLE

        await eventually(lambda: connection.healthy, "healthy again")
        assert (await out.deliver(a_parcel(), a_party())).answer is Answer.OFFERED


@pytest.mark.broker
async def test_a_deleted_queue_is_declared_and_consumed_again(broker: Broker) -> None:
    inbox = Inbox()
    # the broker says that the subscription ended: nobody waits for the next look
    seldom = timedelta(minutes=5)
    async with consuming(broker, inbox, queue=answer_queue(SHV), watch_every=seldom):
        async with at_broker(broker.url) as channel:
            await channel.queue_delete(answer_queue(SHV))

            async def consumed() -> bool:
                names = [queue.name for queue in broker.queues()]
                return answer_queue(SHV) in names

            await eventually(consumed, "declared again")
        async with connected(broker) as other:
            await publish(other, "na")
        await eventually(lambda: inbox.ids == ["na"], "consumed again")


@pytest.mark.broker
async def test_a_silently_vanished_consumer_is_subscribed_again(broker: Broker) -> None:
    inbox = Inbox()
    async with consuming(broker, inbox), at_broker(broker.url) as channel:
        await submit(channel, b"{}", message_id="een")
        await eventually(lambda: inbox.ids == ["een"], "the first letter")
        ours = inbox.letters[0].channel
        (tag,) = ours.consumers  # type: ignore[attr-defined]

        await ours.basic_cancel(tag)
        await submit(channel, b"{}", message_id="twee")

        await eventually(lambda: "twee" in inbox.ids, "subscribed again")


@pytest.mark.broker
async def test_a_busy_consumer_is_not_taken_for_a_vanished_one(broker: Broker) -> None:
    inbox = Inbox()
    async with consuming(broker, inbox, prefetch=2), at_broker(broker.url) as channel:
        for number in range(5):
            await submit(channel, b"{}", message_id=str(number))
        await eventually(lambda: len(inbox.letters) == 2, "as many as fit")
        looks = [letter.channel for letter in inbox.letters]

        # several looks of the watchdog pass while both are still in hand
        for _ in range(5):
            assert await depth(channel, INZENDING) == 3
            with pytest.raises(AssertionError):
                await eventually(lambda: len(inbox.letters) > 2, "no more", within=0.15)

        assert not any(channel.is_closed for channel in looks)


@pytest.mark.broker
async def test_properties_that_are_no_text_do_not_end_the_connection(
    broker: Broker,
) -> None:
    inbox = Inbox()
    async with consuming(broker, inbox), at_broker(broker.url) as channel:
        raw = await channel.get_underlay_channel()
        properties = Basic.Properties(
            message_id="onleesbaar", headers={"naam-\N{SNOWMAN}": "x"}, timestamp=NOON
        )
        # the same lengths, but no UTF-8 and no year: what a careless or hostile client sends
        poisoned = (
            properties.marshal()
            .replace("\N{SNOWMAN}".encode(), b"\xff\xfe\xfd")
            .replace(b"onleesbaar", b"onlees\xff\xfe\xfd!")
            .replace(int(NOON.timestamp()).to_bytes(8, "big"), b"\xff" * 8)
        )

        class Poison(Basic.Properties):
            def marshal(self) -> bytes:
                return poisoned

        await raw.basic_publish(
            b"{}", exchange=INZENDING, routing_key="x", properties=Poison(message_id="x")
        )
        await submit(channel, b"{}", message_id="gewoon")

        await eventually(lambda: len(inbox.letters) == 2, "both arrive")
        assert inbox.ids == ["onlees\ufffd\ufffd\ufffd!", "gewoon"]
        assert not inbox.letters[0].lost


@pytest.mark.broker
async def test_the_amqp_library_logs_nothing_of_a_message(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with connected(broker) as connection:
        await publish(connection, "a", b"Wilhelmina Kanarie")

    said = [record for record in caplog.records if record.name.startswith(("aio", "pamqp"))]
    assert [record.getMessage() for record in said if "Kanarie" in record.getMessage()] == []


def raised_by(module: ModuleType) -> list[type[BaseException]]:
    return [
        thing
        for _, thing in inspect.getmembers(module, inspect.isclass)
        if issubclass(thing, BaseException)
    ]


@pytest.mark.parametrize("module", [aio_pika.exceptions, aiormq.exceptions, pamqp.exceptions])
def test_every_error_of_the_libraries_counts_as_trouble(module: ModuleType) -> None:
    strangers = [error for error in raised_by(module) if not issubclass(error, TROUBLE)]

    assert strangers == []


@pytest.mark.broker
async def test_a_party_that_joins_gets_its_queue_at_the_next_connection(broker: Broker) -> None:
    parties: list[Oin] = []
    topology = Topology(lambda: parties)
    async with BrokerConnection(broker.url, name="t", prepare=topology.declare) as connection:
        await connection.until_healthy()
        parties.append(SHV)

        connection.renew()

        def declared() -> bool:
            return party_queue(SHV) in [queue.name for queue in broker.queues()]

        await eventually(declared, "the new party's queue")
