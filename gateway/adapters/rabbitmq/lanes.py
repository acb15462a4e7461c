"""Publishing channels side by side, so that one stuck queue does not hold up all others.

RabbitMQ handles the messages of one channel one after the other, and a queue without a
leader can keep it busy for a minute.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from aiormq import Channel as RawChannel
from aiormq.exceptions import DeliveryError

LANES = 64
"""Channels at most; two parties share one with a chance of 1 in 64."""

MOST_UNHEARD_BYTES = 4 * 1024 * 1024
"""So much may be handed to a connection without asking whether the broker still reads.

Asking makes the messages of a channel wait for each other; never asking would let memory
fill up for a broker that does not read.
"""


class Lanes:
    """The publishing channels of one session, opened when first used.

    Args:
        open_channel: Opens a channel with confirms on which returns raise.
    """

    def __init__(self, open_channel: Callable[[], Awaitable[RawChannel]]) -> None:
        self._open_channel = open_channel
        self._channels: dict[int, RawChannel] = {}
        self._opening = asyncio.Lock()
        self._unheard = 0

    async def of(self, recipient: str) -> RawChannel:
        """The channel for this recipient, always the same one: it keeps the order."""
        lane = zlib.crc32(recipient.encode()) % LANES
        channel = self._channels.get(lane)
        if channel is not None:
            return channel
        async with self._opening:
            if lane not in self._channels:
                self._channels[lane] = await self._open_channel()
            return self._channels[lane]

    @contextmanager
    def handing_over(self, size: int) -> Iterator[bool]:
        """Around publishing so many bytes; gives whether to wait until they were written.

        What the broker does not answer in time may still lie in our buffers, so it keeps
        counting until the session ends.
        """
        self._unheard += size
        try:
            yield self._unheard > MOST_UNHEARD_BYTES
        except DeliveryError:  # given back or refused: answered all the same
            self._unheard -= size
            raise
        self._unheard -= size


class OwnCancellationOnly:
    """Turn a cancellation by the AMQP library into a lost connection.

    A closing channel cancels what waits on it; only who cancelled *this* task may end it.
    """

    def __enter__(self) -> None:
        return

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and not task.cancelling():
            raise ConnectionError("the channel closed") from error
