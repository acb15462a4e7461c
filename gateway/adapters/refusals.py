"""Writes down that something was refused, never what it said.

Refusals of verified parties become an entry each. Those of strangers are counted per
minute and code, so that a flood of garbage cannot fill the ledger.
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
"""Entries of verified parties that may wait; more are counted as strangers' are."""


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
        self._entries: list[RefusalEntry] = []
        self._strangers: Counter[tuple[datetime, Door, Code]] = Counter()

    def note(self, refusal: Refusal, door: Door) -> None:
        """Remember one refusal; cheap, never waits."""
        now = self._clock()
        if refusal.party is None or len(self._entries) >= LARGEST_BACKLOG:
            self._strangers[now.replace(second=0, microsecond=0), door, refusal.code] += 1
            return
        self._entries.append(
            RefusalEntry(
                at=now,
                door=door,
                code=refusal.code,
                party=Oin(refusal.party),
                referentienummer=refusal.referentienummer,
            )
        )

    async def flush(self) -> None:
        """Write what was collected; keeps it when the ledger does not answer."""
        entries, self._entries = self._entries, []
        strangers, self._strangers = self._strangers, Counter()
        batch = entries + [
            RefusalEntry(at=minute, door=door, code=code, count=count)
            for (minute, door, code), count in strangers.items()
        ]
        if not batch:
            return
        try:
            await self._write(batch)
        except Fault:
            self._entries = entries + self._entries
            self._strangers.update(strangers)

    async def run(self, every: float = 1.0) -> None:
        """Flush every so many seconds until cancelled, and once more at the end."""
        try:
            while True:
                await asyncio.sleep(every)
                await self.flush()
        finally:
            await self.flush()
