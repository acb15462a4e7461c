"""Tells whoever waits in this process that the ledger has something new."""

from __future__ import annotations

import asyncio


class News:
    """One bell for all: long polls and the courier wake at every commit here.

    Commits of other processes do not ring it, so nobody waits on it for long.

    Attributes:
        rings: How often it rang; note it before looking, and nothing is missed.
        closed: The process is stopping: nobody waits any more.
    """

    def __init__(self) -> None:
        self.rings = 0
        self.closed = False
        self._bell = asyncio.Event()

    def ring(self) -> None:
        """Wake everybody who waits now."""
        self.rings += 1
        bell, self._bell = self._bell, asyncio.Event()
        bell.set()

    def close(self) -> None:
        """Let everybody who waits answer with what there is, and nobody wait again."""
        self.closed = True
        self.ring()

    async def wait(self, seconds: float, since: int | None = None) -> None:
        """Return at the next ring, or after ``seconds``; at once if it rang after ``since``."""
        if self.closed or since not in {None, self.rings}:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._bell.wait()
        except TimeoutError:
            return
