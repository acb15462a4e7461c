"""Writes down that something was refused, never what it said.

Refusals of verified parties become an entry each, up to a number per minute. What is more,
and those of strangers, are counted: one entry per minute, door, code and party, written when
the minute is over, so that no flood fills the ledger. A process that is killed takes the
counts of its last minute along.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from gateway.errors import Code, Fault, Refusal
from gateway.message import Door, Oin
from gateway.record import RefusalEntry

LARGEST_BACKLOG = 10_000
"""Entries that may wait for the ledger; more are only counted."""

MOST_ENTRIES_PER_MINUTE = 60
"""Entries of one party in a minute; more are only counted."""


class RefusalLog:
    """Collects refusals in memory and writes them in batches.

    Args:
        write: Writes entries to the ledger.
        clock: The instant of a refusal.
    """

    def __init__(
        self,
        write: Callable[[Sequence[RefusalEntry]], Awaitable[None]],
        clock: Callable[[], datetime],
    ) -> None:
        self._write = write
        self._clock = clock
        self.totals: Counter[tuple[Door, Code]] = Counter()  # since this process started
        self._entries: list[RefusalEntry] = []
        self._counted: Counter[tuple[datetime, Door, Code, Oin | None]] = Counter()
        self._listed: Counter[tuple[datetime, Oin]] = Counter()

    def note(self, refusal: Refusal, door: Door) -> None:
        """Remember one refusal; cheap, never waits."""
        now = self._clock()
        self.totals[door, refusal.code] += 1
        party = None if refusal.party is None else Oin(refusal.party)
        if party is None or not self._room_for(party, now):
            self._counted[_minute(now), door, refusal.code, party] += 1
            return
        self._entries.append(
            RefusalEntry(
                at=now,
                door=door,
                code=refusal.code,
                party=party,
                referentienummer=refusal.referentienummer,
            )
        )

    def _room_for(self, party: Oin, now: datetime) -> bool:
        place = (_minute(now), party)
        self._listed[place] += 1
        return (
            self._listed[place] <= MOST_ENTRIES_PER_MINUTE and len(self._entries) < LARGEST_BACKLOG
        )

    async def flush(self) -> None:
        """Write all that was collected; keeps it when the ledger does not answer."""
        await self._flush(all_counts=True)

    async def _flush(self, *, all_counts: bool) -> None:
        this_minute = _minute(self._clock())
        self._listed = Counter(
            {place: count for place, count in self._listed.items() if place[0] == this_minute}
        )
        counted = {
            place: count
            for place, count in self._counted.items()
            if all_counts or place[0] != this_minute
        }
        for place in counted:
            del self._counted[place]
        entries, self._entries = self._entries, []
        batch = entries + [
            RefusalEntry(at=minute, door=door, code=code, party=party, count=count)
            for (minute, door, code, party), count in counted.items()
        ]
        if not batch:
            return
        try:
            await self._write(batch)
        except Fault:
            self._entries = entries + self._entries
            self._counted.update(counted)

    async def run(self, every: float = 1.0) -> None:
        """Write every so many seconds what is complete, until cancelled; then all."""
        try:
            while True:
                await asyncio.sleep(every)
                await self._flush(all_counts=False)
        finally:
            await self.flush()


def _minute(instant: datetime) -> datetime:
    return instant.replace(second=0, microsecond=0)
