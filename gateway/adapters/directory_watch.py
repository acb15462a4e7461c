"""Keeps this process's directory equal to the ledger's newest version, within seconds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from gateway.adapters.register import accept_oins, directory_of
from gateway.errors import Fault
from gateway.routing.directory import EMPTY, Directory

log = logging.getLogger(__name__)

EVERY_SECONDS = 2.0
"""Well within the five seconds that the operator is promised."""


class DirectoryWatch:
    """Holds the newest directory; calling it gives that.

    Args:
        read: The ledger's newest version and text.
        changed: Told of each new directory, to declare queues for new parties.
        production: Refuse a directory with test OINs; the last good one stays.
    """

    def __init__(
        self,
        read: Callable[[], Awaitable[tuple[int, str]]],
        changed: Callable[[Directory], Awaitable[None]],
        *,
        production: bool = False,
    ) -> None:
        self._read = read
        self._production = production
        self._changed = changed
        self._current = EMPTY
        self._told = EMPTY.version

    def __call__(self) -> Directory:
        """The newest directory that this process knows."""
        return self._current

    async def refresh(self) -> None:
        """Look once.

        Raises:
            Fault: the ledger does not answer, its newest version cannot be read, or who
                is told of it fails and will be told again.
        """
        version, text = await self._read()
        if version != self._current.version:
            directory = directory_of(version, text)
            accept_oins(directory, production=self._production)
            self._current = directory
            log.info("directory.applied", extra={"version": version})
        if version != self._told:
            await self._changed(self._current)
            self._told = version

    async def run(self) -> None:
        """Look every two seconds until cancelled; on trouble the last version stays."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            try:
                await self.refresh()
            except Fault as fault:
                log.warning("directory.not_refreshed", extra={"fault": type(fault).__name__})
