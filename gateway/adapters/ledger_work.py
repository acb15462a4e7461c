"""What couriers and subscribers ask of the ledger, through the one writer of this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from gateway.adapters.ledger.writer import Writer
from gateway.delivery import Conclusion
from gateway.message import Channel, Delivery, Oin
from gateway.record import Ledger


class LedgerWork:
    """``courier.Work`` on a ledger.

    Args:
        passable: Whether anything can leave now. While our own way out is closed nothing is
            lent: an outage of ours is no failed attempt, and is over for all at once.
    """

    def __init__(
        self, writer: Writer, ledger: Ledger, passable: Callable[[], bool] = lambda: True
    ) -> None:
        self._writer = writer
        self._ledger = ledger
        self.passable = passable

    async def lease(
        self,
        *,
        now: datetime,
        until: datetime,
        limit: int,
        channels: frozenset[Channel],
        closed: frozenset[Oin],
    ) -> Sequence[Delivery]:
        """See ``Ledger.lease``; nothing while the way out is closed."""
        if not self.passable():
            return []
        return await self._writer.run(
            lambda: self._ledger.lease(
                now=now, until=until, limit=limit, channels=channels, closed=closed
            )
        )

    async def conclude(self, conclusions: Sequence[Conclusion]) -> int:
        """See ``Ledger.conclude``."""
        return await self._writer.run(lambda: self._ledger.conclude(conclusions))

    async def turn(
        self,
        conclusions: Sequence[Conclusion],
        *,
        now: datetime,
        until: datetime,
        limit: int,
        channels: frozenset[Channel],
        closed: frozenset[Oin],
        look: bool = True,
    ) -> Sequence[Delivery]:
        """See ``Ledger.turn``; only concludes while the way out is closed."""
        if not self.passable():
            await self.conclude(conclusions)
            return []
        return await self._writer.run(
            lambda: self._ledger.turn(
                conclusions,
                now=now,
                until=until,
                limit=limit,
                channels=channels,
                closed=closed,
                look=look,
            )
        )

    async def next_due(self, channels: frozenset[Channel]) -> datetime | None:
        """See ``Ledger.next_due``."""
        return await self._writer.read(lambda: self._ledger.next_due(channels))


MOST_AT_ONCE = 5_000
"""Ids in one transaction; a database takes only so many values in one statement."""


class Confirmations:
    """What parties confirm one by one; what comes in during one commit shares the next.

    Args:
        clock: Tells the instant of a confirmation.
    """

    def __init__(self, writer: Writer, ledger: Ledger, clock: Callable[[], datetime]) -> None:
        self._writer = writer
        self._ledger = ledger
        self._clock = clock
        self._waiting: dict[Oin, list[str]] = {}
        self._next: asyncio.Task[None] | None = None
        self._one_at_a_time = asyncio.Lock()

    async def confirm(self, oin: Oin, delivery_ids: Sequence[str]) -> None:
        """Return once it is committed that this party has taken these.

        Raises:
            LedgerUnavailable: it was not, nor what came in together with it.
        """
        self._waiting.setdefault(oin, []).extend(delivery_ids)
        if self._next is None:
            self._next = asyncio.create_task(self._write())
        # others wait for the same commit: who gives up does not end it
        await asyncio.shield(self._next)

    async def _write(self) -> None:
        async with self._one_at_a_time:
            waiting, self._waiting, self._next = self._waiting, {}, None
            await self._writer.run(self._commit, waiting)

    def _commit(self, waiting: Mapping[Oin, Sequence[str]]) -> None:
        for oin, ids in waiting.items():
            for start in range(0, len(ids), MOST_AT_ONCE):
                self._ledger.confirm(oin, ids[start : start + MOST_AT_ONCE], self._clock())
