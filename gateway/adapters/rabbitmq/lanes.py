"""Publishing channels side by side, so that one stuck queue does not hold up all others.

RabbitMQ handles the messages of one channel one after the other, and a queue without a
leader can keep it busy for a minute.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from types import TracebackType

from aiormq import Channel as RawChannel

from gateway.adapters.rabbitmq.lane import Lane, Unheard

LANES = 64
"""Channels at most; two parties share one with a chance of 1 in 64."""


class Lanes:
    """The publishing channels of one session, opened when first used.

    Args:
        open_channel: Opens a channel with confirms on which returns raise.
        within: Seconds after which what was not confirmed has failed.
    """

    def __init__(self, open_channel: Callable[[], Awaitable[RawChannel]], within: float) -> None:
        self._open_channel = open_channel
        self._within = within
        self._lanes: dict[int, Lane] = {}
        self._opening = asyncio.Lock()
        self._unheard = Unheard()

    async def of(self, recipient: str) -> Lane:
        """The lane for this recipient, always the same one: it keeps the order.

        Raises:
            TimeoutError: its channel could not be opened in time.
        """
        number = zlib.crc32(recipient.encode()) % LANES
        return self._lanes.get(number) or await self._opened(number)

    async def _opened(self, number: int) -> Lane:
        with OwnCancellationOnly():
            async with asyncio.timeout(self._within), self._opening:
                if number not in self._lanes:
                    channel = await self._open_channel()
                    self._lanes[number] = Lane(channel, self._unheard, self._within)
                return self._lanes[number]


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
