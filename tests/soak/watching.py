"""Looks at the processes and at the flow while a soak runs."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.soak.book import Book
from tests.soak.city import City
from tests.soak.letters import CHANNELS

EVERY_SECONDS = 10.0
FLOWS_AGAIN_WITHIN = 300.0
ACCEPTED_AFTER, ARRIVED_AFTER = 20, 3
"""So many further messages mean that it flows again, the latter by each channel."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One process at one moment.

    Attributes:
        at: Seconds since the begin.
        rss: Resident memory in MiB.
        files: Open file descriptors.
    """

    at: float
    name: str
    pid: int
    rss: float
    files: int


@dataclass
class Happened:
    """One fault.

    Attributes:
        at: Seconds since the begin.
        lasted: Seconds until it was mended.
        flowing: Seconds from then until all flows again; None when it did not in time.
    """

    name: str
    at: float
    lasted: float = 0.0
    flowing: float | None = None


@dataclass
class Watch:
    """Samples of the processes, and the faults that were."""

    city: City
    samples: list[Sample] = field(default_factory=list)
    faults: list[Happened] = field(default_factory=list)
    measured: list[tuple[float, float]] = field(default_factory=list)

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.city.book.begun

    async def run(self) -> None:
        """Look at every process now and then, until cancelled."""
        while True:
            self.samples += [
                sample
                for name, process in self.city.processes.items()
                if process.process is not None
                and (sample := _look(self.elapsed, name, process.process.pid)) is not None
            ]
            await asyncio.sleep(EVERY_SECONDS)

    async def until_it_flows(self, happened: Happened) -> None:
        """Wait until messages that are accepted and arrive have passed; notes how long it took."""
        book, mended = self.city.book, time.monotonic()
        accepted, arrived = len(book.accepted), dict(book.arrived)
        while not _flowed(book, accepted, arrived):
            if time.monotonic() - mended > FLOWS_AGAIN_WITHIN:
                book.wrong(f"after '{happened.name}' it does not flow again")
                return
            await asyncio.sleep(0.1)
        happened.flowing = time.monotonic() - mended


def _flowed(book: Book, accepted: int, arrived: dict[str, int]) -> bool:
    return len(book.accepted) >= accepted + ACCEPTED_AFTER and all(
        book.arrived[channel] >= arrived.get(channel, 0) + ARRIVED_AFTER for channel in CHANNELS
    )


def _look(at: float, name: str, pid: int) -> Sample | None:
    place = Path(f"/proc/{pid}")
    try:
        told = (place / "status").read_text(encoding="ascii")
        rss = next(line for line in told.splitlines() if line.startswith("VmRSS"))
        return Sample(
            at, name, pid, int(rss.split()[1]) / 1024, len(list((place / "fd").iterdir()))
        )
    except (OSError, StopIteration):
        return None  # it was just killed
