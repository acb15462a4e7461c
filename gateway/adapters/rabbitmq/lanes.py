"""Publishing channels side by side, so that one stuck queue does not hold up all others.

RabbitMQ handles the messages of one channel one after the other, and a queue without a
leader can keep it busy for a minute: so each recipient has a channel of its own.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from types import TracebackType

from aiormq import Channel as RawChannel

from gateway.adapters.rabbitmq.lane import Lane, Unheard

MOST_LANES = 1_000
"""Channels at most, of the 2,047 that the broker allows a connection; others share one."""


class Lanes:
    """The publishing channels of one session, opened when first used.

    Args:
        open_channel: Opens a channel with confirms on which returns raise.
        within: Seconds after which what was not confirmed has failed.
    """

    def __init__(self, open_channel: Callable[[], Awaitable[RawChannel]], within: float) -> None:
        self._open_channel = open_channel
        self._within = within
        self._lanes: dict[str, Lane] = {}
        self._opening = asyncio.Lock()
        self._unheard = Unheard()

    async def of(self, recipient: str) -> Lane:
        """The lane for this recipient, always the same one: it keeps the order.

        Raises:
            TimeoutError: its channel could not be opened in time.
        """
        lane = self._lanes.get(recipient)
        if lane is None and len(self._lanes) >= MOST_LANES:
            return self._shared(recipient)
        return lane or await self._opened(recipient)

    async def _opened(self, recipient: str) -> Lane:
        with OwnCancellationOnly():
            async with asyncio.timeout(self._within), self._opening:
                if recipient not in self._lanes and len(self._lanes) < MOST_LANES:
                    channel = await self._open_channel()
                    self._lanes[recipient] = Lane(channel, self._unheard, self._within)
                return self._lanes.get(recipient) or self._shared(recipient)

    def _shared(self, recipient: str) -> Lane:
        lanes = list(self._lanes.values())  # none is added any more
        return lanes[zlib.crc32(recipient.encode()) % len(lanes)]


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
