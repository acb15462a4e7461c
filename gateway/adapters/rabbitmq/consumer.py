"""One subscription: hands letters over, and notices when it has silently ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import CONNECTION_EXCEPTIONS
from aiormq.abc import AbstractChannel as RawChannel
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic
from pamqp.common import FieldTable

ANSWER_WITHIN = 5.0
"""Seconds for anything that is asked of the broker."""


@dataclass(frozen=True, slots=True, eq=False)
class Letter:
    """One message as the broker handed it over, not yet acknowledged."""

    body: bytes
    properties: Basic.Properties
    tag: int
    channel: RawChannel
    settled: Callable[[int], None]

    @property
    def headers(self) -> FieldTable:
        """The AMQP headers, ``{}`` when there are none."""
        return self.properties.headers or {}

    @property
    def lost(self) -> bool:
        """The channel is gone: the broker hands the same message over again."""
        return self.channel.is_closed

    async def ack(self) -> None:
        """Have the broker forget it; on a lost channel nothing happens."""
        self.settled(self.tag)
        if not self.lost:
            # an answer that does not get through is the same as none: it comes again
            with suppress(*CONNECTION_EXCEPTIONS, TimeoutError):
                async with asyncio.timeout(ANSWER_WITHIN):
                    await self.channel.basic_ack(self.tag, wait=False)

    async def reject(self, *, requeue: bool) -> None:
        """Give it back: to its queue, where that is counted, or to the dead letters."""
        self.settled(self.tag)
        if not self.lost:
            with suppress(*CONNECTION_EXCEPTIONS, TimeoutError):
                async with asyncio.timeout(ANSWER_WITHIN):
                    await self.channel.basic_reject(self.tag, requeue=requeue, wait=False)


class Consumer:
    """A subscription that survives reconnections: ``attach`` it to each new channel."""

    def __init__(self, queue: str, prefetch: int, receive: Callable[[Letter], None]) -> None:
        self.queue = queue
        self._prefetch = prefetch
        self._receive = receive
        self._out: set[int] = set()
        self._came = 0
        self._came_at_last_look = -1

    async def attach(self, channel: AbstractChannel, ended: Callable[[], None]) -> None:
        """Start to consume on ``channel``; ``ended`` is called when the broker stops it."""
        raw = await channel.get_underlay_channel()
        raw.on_consumer_cancel_callbacks.add(lambda _: ended())
        await raw.basic_qos(prefetch_count=self._prefetch, timeout=ANSWER_WITHIN)
        out: set[int] = set()
        self._out = out
        self._came_at_last_look = -1

        async def on_message(message: DeliveredMessage) -> None:
            tag = message.delivery_tag or 0
            out.add(tag)
            self._came += 1
            properties = message.header.properties
            self._receive(Letter(message.body, properties, tag, message.channel, out.discard))

        await raw.basic_consume(self.queue, on_message, timeout=ANSWER_WITHIN)

    async def vanished(self, channel: RawChannel) -> bool:
        """Whether the broker no longer hands over to us, though nobody said so.

        Sure when the queue has no consumer at all. Else suspected when messages lie
        ready, we have room for them, and none came between two looks.
        """
        answer = await channel.queue_declare(self.queue, passive=True)
        quiet = self._came == self._came_at_last_look
        self._came_at_last_look = self._came
        if answer.consumer_count == 0:
            return True
        return bool(answer.message_count) and quiet and len(self._out) < self._prefetch
