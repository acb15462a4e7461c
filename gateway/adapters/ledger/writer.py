"""One thread that writes: it commits what waits together, and tells each waiter its own outcome.

A commit costs about as much for one message as for sixty-four, so under load the messages
that came in during one commit share the next. The event loop never waits for the database.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ParamSpec, Protocol, TypeVar

from gateway.adapters.ledger.database import Clock
from gateway.adapters.tally import Tally
from gateway.errors import LedgerUnavailable, Overloaded
from gateway.message import Delivery, Receipt, Submission
from gateway.record import Admit, AtOnce, Ledger

P = ParamSpec("P")
T = TypeVar("T")

MOST_JOBS = 8
"""Other writes between two batches of messages: accepting goes before all else."""

LARGEST_BATCH = 64
"""More messages in one commit gain nothing, and make the last one wait for the first."""


GATHER_SECONDS = 0.010
WORTH_A_COMMIT = 32
A_RUSH = 4
"""After a batch of this size, the next one waits a moment for company."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A submission, and who waits for what becomes of it."""

    submission: Submission
    future: asyncio.Future[Receipt]


@dataclass(frozen=True, slots=True)
class _Job:
    """Another write, and who waits for it."""

    work: Callable[[], Any]
    future: asyncio.Future[Any]


_Told = tuple[asyncio.Future[Any], object]


class Takers(Protocol):
    """Who takes at once what a batch makes due (``adapters.handover``)."""

    def offer(self, now: datetime) -> AtOnce:
        """What they could take now; asked in the writing thread."""
        ...

    def take(self, lent: Sequence[Delivery]) -> None:
        """Here these are, recorded; called in the event loop."""
        ...


class Writer:
    """The way into the ledger for one event loop; make it inside that loop.

    Args:
        ledger: Where everything goes; the writer does not close it.
        admit: The station admit, which looks in the newest directory by itself.
        clock: Tells the instant at which a batch is recorded.
        waiting: So many submissions may wait; the next is refused at once.
        readers: So many threads may read at the same time.
    """

    def __init__(
        self, ledger: Ledger, admit: Admit, *, clock: Clock, waiting: int = 2_000, readers: int = 4
    ) -> None:
        self._ledger = ledger
        self._admit = admit
        self._clock = clock
        self._room = waiting
        self.tally = Tally()
        self._loop = asyncio.get_running_loop()
        self._submissions: deque[_Waiting] = deque()
        self._jobs: deque[_Job] = deque()
        self._closing = False
        self._gathering = False
        self._busy_until = 0.0
        self._wake = threading.Condition()
        self._takers: Takers | None = None
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="ledger-reader")
        self._thread = threading.Thread(target=self._write, name="ledger-writer", daemon=True)
        self._thread.start()

    def hand_to(self, takers: Takers) -> None:
        """From now on these get what may leave at once, instead of asking for it."""
        self._takers = takers

    @property
    def waiting(self) -> int:
        """How many submissions wait for the next batch."""
        return len(self._submissions)

    async def record(self, submission: Submission) -> Receipt:
        """Return the receipt once the message is committed.

        Raises:
            Refusal: it may not be recorded, and was not.
            Overloaded: too many wait already; nothing was recorded.
            LedgerUnavailable: the database does not answer; nothing was recorded.
        """
        future: asyncio.Future[Receipt] = self._loop.create_future()
        with self._wake:
            self._refuse_when_closing()
            if len(self._submissions) >= self._room:
                raise Overloaded("too many messages wait to be recorded")
            self._submissions.append(_Waiting(submission, future))
            if not self._gathering or len(self._submissions) >= WORTH_A_COMMIT:
                self._wake.notify()
        return await future

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do another write of the ledger in the same thread, between two batches.

        Raises:
            Overloaded: too much waits already; nothing was written.
            LedgerUnavailable: the database does not answer; nothing was recorded.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        with self._wake:
            self._refuse_when_closing()
            if len(self._jobs) >= self._room:
                raise Overloaded("too much waits to be written")
            self._jobs.append(_Job(lambda: work(*args, **kwargs), future))
            self._wake.notify()
        return await future

    async def read(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do a read of the ledger in a reader thread, beside the batches.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        self._refuse_when_closing()
        return await self._loop.run_in_executor(self._readers, lambda: work(*args, **kwargs))

    async def close(self) -> None:
        """Take nothing new, finish what waits, and end the threads."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        await asyncio.to_thread(self._thread.join)
        self._readers.shutdown()

    def _refuse_when_closing(self) -> None:
        if self._closing:
            raise LedgerUnavailable("this gateway is stopping")

    def _write(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._submissions or self._jobs or self._closing)
                self._gather()
                size = min(LARGEST_BATCH, len(self._submissions))
                batch = [self._submissions.popleft() for _ in range(size)]
                jobs = [self._jobs.popleft() for _ in range(min(MOST_JOBS, len(self._jobs)))]
            if not batch and not jobs:
                return  # closing, and everything is done
            # Who gave up waiting has no answer, and will send the message again.
            batch = [each for each in batch if not each.future.cancelled()]
            if batch:
                self._tell(self._record(batch))
            if len(batch) >= A_RUSH:
                self._busy_until = time.monotonic() + GATHER_SECONDS
            for job in jobs:
                self._tell([(job.future, _outcome(job.work))])

    def _gather(self) -> None:
        """In a rush, let a batch grow a little: a commit costs its statements, not its messages.

        Who comes alone never waits, and nobody longer than ``GATHER_SECONDS``.
        """
        if time.monotonic() >= self._busy_until:
            return
        self._gathering = True
        self._wake.wait_for(
            lambda: len(self._submissions) >= WORTH_A_COMMIT or self._jobs or self._closing,
            timeout=GATHER_SECONDS,
        )
        self._gathering = False

    def _record(self, batch: list[_Waiting]) -> list[_Told]:
        """Record together; if that fails for any reason of content, each by itself."""
        try:
            return self._record_together(batch)
        except LedgerUnavailable as fault:
            # One exception each: an exception carries the traceback of who raised it.
            return [(each.future, LedgerUnavailable(str(fault))) for each in batch]
        except Exception as bug:  # noqa: BLE001 - it reaches who waits, or shows again below
            if len(batch) == 1:
                return [(batch[0].future, bug)]
            return [told for each in batch for told in self._record([each])]

    def _record_together(self, batch: list[_Waiting]) -> list[_Told]:
        submissions = [each.submission for each in batch]
        began = time.perf_counter()
        at, takers = self._clock(), self._takers
        at_once = takers.offer(at) if takers else None
        outcomes = self._ledger.record(submissions, self._admit, at, at_once)
        self.tally.batch(submissions, outcomes, time.perf_counter() - began)
        lent = [one for each in outcomes if isinstance(each, Receipt) for one in each.lent]
        if takers and lent:
            self._loop.call_soon_threadsafe(takers.take, lent)
        return [(each.future, outcome) for each, outcome in zip(batch, outcomes, strict=True)]

    def _tell(self, told: list[_Told]) -> None:
        # One wake-up of the event loop for the whole batch.
        self._loop.call_soon_threadsafe(_resolve, told)


def _outcome(work: Callable[[], Any]) -> object:
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - it reaches who waits
        return error


def _resolve(told: list[_Told]) -> None:
    for future, outcome in told:
        if future.done():
            continue  # cancelled: the client went away
        if isinstance(outcome, StopIteration):
            future.set_exception(RuntimeError("a StopIteration came out"))  # no future takes one
        elif isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
