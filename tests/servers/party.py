"""A party's own system at the broker, and parcels for it: the other side of the queue."""

from __future__ import annotations

import asyncio
import inspect
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aio_pika.exceptions import QueueEmpty
from aiormq.exceptions import InvalidFrameError
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from gateway.cloudevent import cloudevent
from gateway.message import Channel, Delivery, Dialect, Kind, Oin, Parcel, as_bytes
from gateway.routing.directory import Party

GATEWAY = Oin("00000099000000009000")
SHV = Oin("00000099000000001001")
OTHER = Oin("00000099000000001002")
NOON = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)
KIND = Kind("schuldregeling", 2, "Kennisgeving")


def a_party(oin: Oin = SHV, **changes: Any) -> Party:
    """A participant that reads from its queue."""
    base = Party(
        oin=oin,
        naam="Gemeente Voorbeeld",
        rollen=frozenset({"shv-fase-1"}),
        modules=frozenset({"schuldregeling"}),
        certificates=(),
        channel=Channel.QUEUE,
    )
    return replace(base, **changes)


def a_delivery(**changes: Any) -> Delivery:
    """A recorded message on its way to ``SHV``, under a fresh delivery id."""
    base = Delivery(
        id=str(uuid.uuid4()),
        ontvanger=SHV,
        channel=Channel.QUEUE,
        volgnummer=1,
        awaits_confirmation=True,
        attempt=1,
        fence=1,
        queued_at=NOON,
        kind=KIND,
        referentienummer=str(uuid.uuid4()),
        conversatie=str(uuid.uuid4()),
        afzender=OTHER,
        received_at=NOON,
        canonical=b"{}",
        original_sha256="0" * 64,
        original_dialect=Dialect.XML,
        signer_fingerprint="0" * 64,
    )
    return replace(base, **changes)


def a_parcel(*, size: int = 0, **changes: Any) -> Parcel:
    """A signed parcel for ``SHV`` with at least ``size`` bytes of content."""
    delivery = a_delivery(**changes)
    return Parcel(
        delivery=delivery,
        body=cloudevent(delivery, as_bytes({"aflevering": {"vulling": "x" * size}}), GATEWAY),
        media="application/cloudevents+json",
        signature="kop..handtekening",
    )


async def eventually(
    condition: Callable[[], bool | Awaitable[bool]], what: str, *, within: float = 30.0
) -> None:
    """Wait until ``condition`` holds; AssertionError after ``within`` seconds."""
    deadline = time.monotonic() + within
    while True:
        holds = condition()
        if await holds if inspect.isawaitable(holds) else holds:
            return
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        await asyncio.sleep(0.02)


@retry(
    retry=retry_if_exception_type(InvalidFrameError),
    wait=wait_fixed(0.2),
    stop=stop_after_delay(60),
)
async def _connected(url: str) -> AbstractConnection:
    # a node that has just lost another may close who comes in at that moment
    return await aio_pika.connect(url, timeout=30)


@asynccontextmanager
async def at_broker(url: str) -> AsyncIterator[AbstractChannel]:
    """A channel of a plain client, with confirms and returns that raise."""
    connection = await _connected(url)
    async with connection:
        yield await connection.channel(on_return_raises=True)


async def submit(channel: AbstractChannel, body: bytes, **properties: Any) -> None:
    """Publish one submission as the party's system does."""
    exchange = await channel.get_exchange("gateway.inzending", ensure=False)
    message = aio_pika.Message(body, delivery_mode=2, **properties)
    await exchange.publish(message, routing_key="")


async def take(channel: AbstractChannel, queue: str) -> AbstractIncomingMessage:
    """Consume and acknowledge the next message; AssertionError when none comes."""
    return (await take_many(channel, queue, 1))[0]


async def take_many(
    channel: AbstractChannel, queue: str, count: int, *, within: float = 30.0
) -> list[AbstractIncomingMessage]:
    """Consume the next ``count`` messages and acknowledge them; no more are touched."""
    taken: list[AbstractIncomingMessage] = []
    complete = asyncio.Event()
    await channel.set_qos(prefetch_count=count)
    source = await channel.get_queue(queue, ensure=False)

    async def on_message(message: AbstractIncomingMessage) -> None:
        taken.append(message)
        if len(taken) == count:
            complete.set()

    tag = await source.consume(on_message)
    try:
        await asyncio.wait_for(complete.wait(), within)
    except TimeoutError:
        raise AssertionError(f"{len(taken)} of {count} came in {queue} within {within} s") from None
    finally:
        await source.cancel(tag)
    for message in taken:
        await message.ack()
    return taken


async def take_all(channel: AbstractChannel, queue: str) -> list[AbstractIncomingMessage]:
    """Everything that lies ready in an ordinary queue, acknowledged."""
    source = await channel.get_queue(queue, ensure=False)
    taken: list[AbstractIncomingMessage] = []
    while True:
        try:
            message = await source.get(timeout=30)
        except QueueEmpty:
            return taken
        await message.ack()
        taken.append(message)


async def depth(channel: AbstractChannel, queue: str) -> int:
    """How many messages lie ready."""
    declared = await channel.declare_queue(queue, passive=True)
    return declared.declaration_result.message_count or 0
