"""Role bezorgen: takes due deliveries from the ledger, has each tried, writes what came of it.

One slow or dead party does not hold up the others: each may have only so many attempts
under way, and a party that fails is passed over for a while. The ledger holds all
state; a courier that is killed loses nothing but time, since its leases run out.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from gateway.adapters.breaker import Breaker
from gateway.delivery import Conclusion
from gateway.errors import Fault, GatewayError
from gateway.message import Channel, Delivery, Oin

log = logging.getLogger(__name__)

NONE = timedelta(0)


class Work(Protocol):
    """What the courier asks of the ledger. Every method may raise Fault."""

    async def lease(
        self,
        *,
        now: datetime,
        until: datetime,
        limit: int,
        channels: frozenset[Channel],
        closed: frozenset[Oin],
    ) -> Sequence[Delivery]:
        """Take due deliveries, at most ``limit``, none of parties in ``closed``."""
        ...

    async def conclude(self, conclusions: Sequence[Conclusion]) -> int:
        """Write what attempts came to, all or none; older fences are ignored."""
        ...

    async def turn(
        self,
        conclusions: Sequence[Conclusion],
        *,
        now: datetime,
        until: datetime,
        limit: int,
        channels: frozenset[Channel],
        closed: frozenset[Oin],
    ) -> Sequence[Delivery]:
        """``conclude`` and then ``lease``, as one: after a Fault neither was done."""
        ...

    async def next_due(self, channels: frozenset[Channel]) -> datetime | None:
        """When the next waiting delivery becomes due; None when none waits."""
        ...


Dispatch = Callable[[Delivery], Awaitable[Conclusion]]
"""Makes one attempt. What it raises is logged, and the lease runs out."""

Wait = Callable[[asyncio.Event, timedelta], Awaitable[None]]
"""Returns when the event is set or the span is over, whichever comes first."""


async def wait_for(event: asyncio.Event, span: timedelta) -> None:
    """Wait on the clock of the event loop."""
    try:
        async with asyncio.timeout(span.total_seconds()):
            await event.wait()
    except TimeoutError:
        pass


@dataclass(frozen=True, slots=True)
class Pace:
    """How much a courier does at once, and when it looks.

    Attributes:
        slots: Attempts under way at once.
        per_party: Attempts under way at once for one party.
        attempt: Longest time of one attempt; the party's own timeout is shorter.
        margin: How much longer than an attempt its lease lasts: time to write it.
        sleep: Longest time without looking for work.
        longest_backoff: Longest wait while the ledger does not answer.
        last_tries: How often a stopping courier tries to write what it knows.
    """

    slots: int = 64
    per_party: int = 8
    attempt: timedelta = timedelta(seconds=130)
    margin: timedelta = timedelta(seconds=50)
    sleep: timedelta = timedelta(seconds=1)
    longest_backoff: timedelta = timedelta(seconds=30)
    last_tries: int = 5

    def backoff(self, faults: int) -> timedelta:
        """How long to leave the ledger alone after so many faults in a row (1 or more)."""
        return min(self.longest_backoff, timedelta(seconds=0.25 * 2.0 ** min(faults, 20)))


class Courier:
    """The loop of role bezorgen for some channels. One ``run`` at a time."""

    def __init__(
        self,
        work: Work,
        dispatch: Dispatch,
        *,
        channels: frozenset[Channel],
        breaker: Breaker,
        now: Callable[[], datetime],
        pace: Pace | None = None,
        wait: Wait = wait_for,
    ) -> None:
        self._work = work
        self._dispatch = dispatch
        self._channels = channels
        self._breaker = breaker
        self._now = now
        self._pace = pace or Pace()
        self._wait = wait
        self._news = asyncio.Event()
        self._stopping = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()
        self._per_party: Counter[Oin] = Counter()
        self._known: list[Conclusion] = []
        self._faults = 0

    def hint(self) -> None:
        """There may be work: a commit just made a delivery."""
        self._news.set()

    def stop(self) -> None:
        """Take nothing more; ``run`` returns when what is under way is written."""
        self._stopping.set()
        self._news.set()

    async def run(self) -> None:
        """Deliver until ``stop``.

        A Fault of the ledger is waited out; what was learnt meanwhile is kept.

        Raises:
            Exception: a bug in the ledger or the loop; attempts under way are
                abandoned and their leases run out.
        """
        try:
            while not self._stopping.is_set():
                await self._turn()
            await self._finish()
        finally:
            await self._abandon()

    async def _abandon(self) -> None:
        for attempt in self._under_way:
            attempt.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _turn(self) -> None:
        self._news.clear()
        try:
            await self._fill()
            idle = NONE if self._known else await self._until_due()
        except Fault as fault:
            self._faults += 1
            await self._leave_alone(fault)
            return
        self._faults = 0
        if idle > NONE:
            await self._wait(self._news, idle)

    async def _leave_alone(self, fault: Fault) -> None:
        """Wait for the ledger to come back; only a stop ends this early."""
        log.warning("courier.fault", extra={"error": type(fault).__name__})
        await self._wait(self._stopping, self._pace.backoff(self._faults))

    async def _write(self) -> None:
        """Write all that is known, in one group: what finishes meanwhile is the next."""
        group = list(self._known)
        if group:
            await self._work.conclude(group)
            del self._known[: len(group)]

    async def _fill(self) -> None:
        """Write what is known, and take work while there is any and a slot for it."""
        # one trial for each half-open party, before anything else can take its turn
        for _ in self._breaker.on_trial(self._now()):
            await self._take(1, self._breaker.closed_for(self._now()))
        more = True
        while more and not self._stopping.is_set():
            now = self._now()
            closed = self._breaker.closed_for(now) | self._breaker.on_trial(now)
            more = await self._take(self._pace.slots, closed)

    async def _take(self, limit: int, closed: frozenset[Oin]) -> bool:
        """Lease and start at most ``limit``, within the slots of courier and parties.

        What is known by now is written with it: together they cost little more than one.

        Returns whether there may be more: the lease was as large as it could be.

        A lease may bring only deliveries of one party. So parties with more than half
        of their slots in use are passed over, and no lease is larger than what the
        busiest of the others still has.
        """
        half = self._pace.per_party // 2
        busy = frozenset(party for party, count in self._per_party.items() if count > half)
        busiest = max((n for party, n in self._per_party.items() if party not in busy), default=0)
        free = self._pace.slots - self._per_party.total()
        limit = min(limit, free, self._pace.per_party - busiest)
        if limit <= 0:
            await self._write()
            return False
        now, group = self._now(), list(self._known)
        lease = partial(self._work.turn, group) if group else self._work.lease
        leased = await lease(
            now=now,
            until=now + self._pace.attempt + self._pace.margin,
            limit=limit,
            channels=self._channels,
            closed=closed | busy,
        )
        del self._known[: len(group)]
        for delivery in leased:
            self._start(delivery)
        return len(leased) == limit

    def _start(self, delivery: Delivery) -> None:
        self._breaker.taken(delivery.ontvanger, self._now())
        self._per_party[delivery.ontvanger] += 1
        attempt = asyncio.create_task(self._attempt(delivery))
        self._under_way.add(attempt)
        attempt.add_done_callback(self._under_way.discard)

    async def _attempt(self, delivery: Delivery) -> None:
        party = delivery.ontvanger
        try:
            async with asyncio.timeout(self._pace.attempt.total_seconds()):
                conclusion = await self._dispatch(delivery)
        except Exception as error:  # noqa: BLE001 - the edge of one attempt: the loop goes on
            # by class only: the text of an error may carry content
            level = logging.WARNING if isinstance(error, GatewayError) else logging.ERROR
            what = {"delivery_id": delivery.id, "error": type(error).__name__}
            log.log(level, "courier.attempt_failed", extra=what)
        else:
            self._known.append(conclusion)
            self._breaker.heard(party, conclusion.attempted, self._now())
        finally:
            self._per_party[party] -= 1
            if not self._per_party[party]:
                del self._per_party[party]
            self._news.set()

    async def _until_due(self) -> timedelta:
        """How long there is nothing to do, unless a hint comes or an attempt ends."""
        if self._per_party:
            return self._pace.sleep
        due = await self._work.next_due(self._channels)
        now = self._now()
        # what is due and was not lent waits for a predecessor or a party: not for us
        if due is None or due <= now:
            return self._pace.sleep
        return min(due - now, self._pace.sleep)

    async def _finish(self) -> None:
        """Let what is under way end, and write it; leases cover what cannot be written."""
        if self._under_way:
            await asyncio.wait(self._under_way)
        for faults in range(1, self._pace.last_tries + 1):
            try:
                await self._write()
            except Fault as fault:
                log.warning("courier.fault", extra={"error": type(fault).__name__})
            else:
                return
            if faults < self._pace.last_tries:
                await self._wait(asyncio.Event(), self._pace.backoff(faults))
        log.error("courier.unwritten", extra={"count": len(self._known)})
