"""How does a message reach the broker? With all that are ready at the same moment, in one write.

The AMQP library publishes one by one, with futures, a lock and a timer for each: more work than
the rest of a delivery. Here the messages of one channel are numbered and written together; what
the broker says of each (a confirm, a refusal, a return) the library reads as ever, and finds the
message that it is about by its number in ``confirmations``.
"""

from __future__ import annotations

import asyncio
import struct
import uuid
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any, Protocol

from aiormq import Channel as RawChannel
from aiormq.abc import ChannelFrame
from aiormq.exceptions import DeliveryError
from pamqp.commands import Basic
from pamqp.constants import FRAME_BODY, FRAME_END_CHAR, FRAME_HEADER
from pamqp.frame import marshal

LARGEST_WRITE = 256 * 1024
"""Bytes; a write ends with the message that passes this."""

MOST_UNHEARD_BYTES = 4 * 1024 * 1024
"""So much may be handed to a connection without asking whether the broker still reads.

Asking makes the messages of a channel wait for each other; never asking would let memory
fill up for a broker that does not read.
"""


CLOSED = "the channel closed"

_FRAME = struct.Struct(">BHI")  # AMQP 0-9-1 2.3.5: type, channel, size
_CONTENT = struct.Struct(">HHQ")  # 2.3.5.2: class, weight, size of the body


class Properties(Protocol):
    """``pamqp.commands.Basic.Properties``, or what says the same in fewer steps."""

    message_id: str | None

    def marshal(self) -> bytes:
        """As AMQP 0-9-1 writes them: flags, and the properties that are there."""
        ...


class Unheard:
    """Bytes that were handed to a connection and that the broker did not answer yet.

    What it does not answer in time may still lie in our buffers, so that keeps counting until
    the session ends.
    """

    def __init__(self) -> None:
        self.size = 0

    @property
    def crowded(self) -> bool:
        """Whether to wait until what is written has left."""
        return self.size > MOST_UNHEARD_BYTES


class _Message:
    """One message on its way, and what the broker says of it."""

    __slots__ = ("answer", "frames", "id", "size", "tag")

    def __init__(self, message_id: str, frames: list[bytes], answer: asyncio.Future[Any]) -> None:
        self.id = message_id
        self.frames = frames
        self.size = sum(map(len, frames))
        self.answer = answer
        self.tag = 0


class Lane:
    """One publishing channel; what is published on it keeps its order.

    Args:
        channel: Open, with confirms on which returns raise; nobody else publishes on it.
        unheard: Of the connection, shared by its channels.
        within: Seconds after which what was not confirmed has failed.
    """

    def __init__(self, channel: RawChannel, unheard: Unheard, within: float) -> None:
        self._channel = channel
        self._unheard = unheard
        self._within = within
        self._loop = asyncio.get_running_loop()
        self._waiting: list[_Message] = []
        self._under_way: set[_Message] = set()
        self._writing: asyncio.Task[None] | None = None
        self._publish_frame = lru_cache(maxsize=1024)(self._marshalled)
        channel.closing.add_done_callback(self._closed)

    async def publish(self, body: bytes, properties: Properties, exchange: str, key: str) -> None:
        """Publish one message, mandatory; returns when the broker confirmed it.

        Raises:
            PublishError: no queue is bound for ``key``.
            DeliveryError: the queue refuses more.
            TimeoutError: it was not confirmed in time; it may have arrived all the same.
            ConnectionError: the channel closed, likewise.
        """
        if self._channel.is_closed:
            raise ConnectionError(CLOSED)
        message = self._message(body, properties, exchange, key)
        self._waiting.append(message)
        self._under_way.add(message)
        if self._writing is None:
            self._writing = self._loop.create_task(self._write())
        limit = self._loop.call_later(self._within, self._fail, message, TimeoutError)
        try:
            await message.answer
        except DeliveryError:  # given back or refused: answered all the same
            self._unheard.size -= message.size
            raise
        finally:
            limit.cancel()
            self._under_way.discard(message)
            self._forget(message)
        self._unheard.size -= message.size

    def _message(self, body: bytes, properties: Properties, exchange: str, key: str) -> _Message:
        # a message that is given back is known by its id
        message_id = properties.message_id = properties.message_id or uuid.uuid4().hex
        number, most = self._channel.number, self._channel.max_content_size
        label = properties.marshal()
        size = _CONTENT.size + len(label)
        frames = [
            self._publish_frame(exchange, key),
            _FRAME.pack(FRAME_HEADER, number, size),
            _CONTENT.pack(Basic.frame_id, 0, len(body)),
            label,
            FRAME_END_CHAR,
        ]
        for start in range(0, len(body), most):
            part = body[start : start + most]
            frames += (_FRAME.pack(FRAME_BODY, number, len(part)), part, FRAME_END_CHAR)
        return _Message(message_id, frames, self._loop.create_future())

    def _marshalled(self, exchange: str, key: str) -> bytes:
        frame = Basic.Publish(exchange=exchange, routing_key=key, mandatory=True)
        return marshal(frame, self._channel.number)

    async def _write(self) -> None:
        """Hand over what waits, until nothing waits."""
        try:
            while self._waiting:
                group, self._waiting = self._waiting, []
                for frames in self._numbered(group):
                    drained = self._loop.create_future() if self._unheard.crowded else None
                    payload = ChannelFrame(
                        b"".join(frames), should_close=False, drain_future=drained
                    )
                    await self._channel.write_queue.put(payload)
                    if drained is not None:
                        await drained
        finally:
            self._writing = None

    def _numbered(self, group: list[_Message]) -> Iterator[list[bytes]]:
        """The frames of each write, numbered as the broker counts, once they must leave."""
        frames: list[bytes] = []
        size = 0
        for message in group:
            if message.answer.done():  # its time was over before it could leave
                continue
            channel = self._channel
            channel.delivery_tag += 1
            message.tag = channel.delivery_tag
            channel.confirmations[message.tag] = message.answer
            channel.message_id_delivery_tag[message.id] = message.tag
            frames += message.frames
            message.frames = []
            size += message.size
            self._unheard.size += message.size
            if size > LARGEST_WRITE:
                yield frames
                frames, size = [], 0
        if frames:
            yield frames

    def _forget(self, message: _Message) -> None:
        """Nobody waits for it any more, so nobody is told when it is given back."""
        tags = self._channel.message_id_delivery_tag
        if tags.get(message.id) == message.tag:
            del tags[message.id]

    def _closed(self, _: asyncio.Future[Any]) -> None:
        if self._writing is not None:
            self._writing.cancel()
        for message in self._under_way:
            self._fail(message, partial(ConnectionError, CLOSED))

    def _fail(self, message: _Message, error: Callable[[], Exception]) -> None:
        if not message.answer.done():
            self._forget(message)
            message.answer.set_exception(error())
