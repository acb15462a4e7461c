"""Tells whoever waits in this process that the ledger has something new."""

from __future__ import annotations

import asyncio


class News:
    """One bell for all: long polls and the courier wake at every commit here.

    Commits of other processes do not ring it, so nobody waits on it for long.
    """

    def __init__(self) -> None:
        self._bell = asyncio.Event()

    def ring(self) -> None:
        """Wake everybody who waits now."""
        bell, self._bell = self._bell, asyncio.Event()
        bell.set()

    async def wait(self, seconds: float) -> None:
        """Return at the next ring, or after ``seconds``."""
        try:
            async with asyncio.timeout(seconds):
                await self._bell.wait()
        except TimeoutError:
            return
