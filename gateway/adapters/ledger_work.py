"""What the courier asks of the ledger, through the one writer of this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
        self._passable = passable

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
        if not self._passable():
            return []
        return await self._writer.run(
            lambda: self._ledger.lease(
                now=now, until=until, limit=limit, channels=channels, closed=closed
            )
        )

    async def conclude(self, conclusions: Sequence[Conclusion]) -> int:
        """See ``Ledger.conclude``."""
        return await self._writer.run(lambda: self._ledger.conclude(conclusions))

    async def next_due(self, channels: frozenset[Channel]) -> datetime | None:
        """See ``Ledger.next_due``."""
        return await self._writer.read(lambda: self._ledger.next_due(channels))
