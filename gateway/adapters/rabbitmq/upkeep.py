"""What if somebody removes a queue or an exchange? It is declared again, and what lay there is
offered again.

Nobody but the gateway may configure anything on the broker; but operators delete, clusters are
rebuilt and disks are lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from gateway.adapters.ledger.writer import Writer
from gateway.adapters.rabbitmq.connection import BrokerConnection, Prepare
from gateway.delivery import Answer, Attempted
from gateway.errors import BrokerUnavailable, Fault
from gateway.message import Oin, Parcel
from gateway.pipeline import ChannelOut
from gateway.record import Ledger
from gateway.routing.directory import Directory, Party

log = logging.getLogger(__name__)

LOOK_EVERY = timedelta(seconds=30)
"""How long something may be missing without anybody noticing."""
DECLARED_WITHIN = timedelta(minutes=10)
"""Within a moment, that is; only a broker that is away takes longer."""
NOT_AGAIN_WITHIN = 1.0
"""Seconds between two looks, however many messages come back."""
WRITTEN_WITHIN = timedelta(seconds=30)
"""After this an attempt that began before is certainly in the ledger, or its lease ran out."""

EVER = datetime(1970, 1, 1, tzinfo=UTC)


class Upkeep:
    """Declares everything again: when asked, and now and then.

    Args:
        prepare: Declares it, over a connection of its own, so that nothing under way is
            disturbed.
        every: How often without being asked; None for never.
    """

    def __init__(self, urls: Sequence[str], prepare: Prepare, every: timedelta | None) -> None:
        self._urls = urls
        self._prepare = prepare
        self._every = every.total_seconds() if every else None
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Something may be missing."""
        self._asked.set()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every):
                    await self._asked.wait()
            self._asked.clear()
            async with BrokerConnection(
                self._urls, name="declare", prepare=self._prepare
            ) as declaring:
                with suppress(BrokerUnavailable):  # then whoever connects next declares it all
                    await declaring.until_healthy(DECLARED_WITHIN)
            await asyncio.sleep(NOT_AGAIN_WITHIN)


class Noticing:
    """A channel that asks for upkeep when a message comes back because there is no queue."""

    def __init__(self, channel: ChannelOut, missed: Callable[[], None]) -> None:
        self._channel = channel
        self._missed = missed

    async def deliver(self, parcel: Parcel, party: Party) -> Attempted:
        """See ``ChannelOut``."""
        attempted = await self._channel.deliver(parcel, party)
        if attempted.answer is Answer.UNROUTABLE:
            self._missed()
        return attempted


class Refill:
    """Offers again what lay on queues that are gone.

    A second time some seconds later, for what the broker had confirmed just before and was
    not yet in the ledger: it counts as offered from then on, and lies nowhere.

    Args:
        again: Called when there is work for the couriers.
        later: After so long the second time.
    """

    def __init__(
        self,
        writer: Writer,
        ledger: Ledger,
        directory: Callable[[], Directory],
        *,
        clock: Callable[[], datetime],
        again: Callable[[], None],
        later: timedelta = WRITTEN_WITHIN,
    ) -> None:
        self._writer = writer
        self._ledger = ledger
        self._directory = directory
        self._clock = clock
        self._again = again
        self._later = later.total_seconds()
        self._tasks: set[asyncio.Task[None]] = set()

    async def gone(self, parties: Sequence[Oin]) -> None:
        """The queues of these are not there; returns when that is in the ledger.

        Only for parties that must confirm. Of others nobody knows what they took: an
        operator offers them again what is needed (``gateway rabbitmq hervullen``).

        Raises:
            LedgerUnavailable: not all are; ask again before declaring the queues.
        """
        known = self._directory().parties
        lost = [oin for oin in parties if oin in known and known[oin].awaits_confirmation]
        noticed = self._clock()
        for oin in sorted(set(parties).difference(lost)):
            log.warning("queue.not-refilled", extra={"party": oin})
        if lost:
            await self._offer(lost, noticed)
            task = asyncio.create_task(self._once_more(lost, noticed))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give up what was for later."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _once_more(self, parties: Sequence[Oin], until: datetime) -> None:
        while True:
            await asyncio.sleep(self._later)
            with suppress(Fault):
                await self._offer(parties, until)
                return

    async def _offer(self, parties: Sequence[Oin], until: datetime) -> int:
        """What was offered until then; gives how many."""
        total = 0
        for oin in parties:
            count = await self._writer.run(self._ledger.refill, oin, EVER, self._clock(), until)
            if count:
                log.warning("queue.refilled", extra={"party": oin, "count": count})
            total += count
        if total:
            self._again()
        return total
