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
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from gateway.adapters.breaker import Breaker
from gateway.adapters.handover import Room
from gateway.delivery import Conclusion, State
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
        """Write what attempts came to, all or none; older fences are ignored.

        Comes after every batch that was being recorded when this was called.
        """
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
        look: bool,
    ) -> Sequence[Delivery]:
        """``conclude`` and then ``lease``, as one: after a Fault neither was done.

        Args:
            look: False where nothing else is due: then it leases only if a conclusion let
                something go.
        """
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
    longest_backoff: timedelta = timedelta(seconds=5)
    last_tries: int = 5

    @property
    def lease(self) -> timedelta:
        """How long what is taken belongs to this courier."""
        return self.attempt + self.margin

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
        self._hinted, self._looked = True, False
        self._look_at = now()
        self._ended = False
        self._room: Room | None = None

    def hint(self) -> None:
        """There may be work: a commit just made a delivery."""
        self._hinted = True
        self._news.set()

    def stop(self) -> None:
        """Take nothing more; ``run`` returns when what is under way is written."""
        self._room = None
        self._stopping.set()
        self._news.set()

    @property
    def room(self) -> Room | None:
        """What it could take at once; see ``handover.Taker``."""
        return self._room

    def take(self, lent: Sequence[Delivery]) -> None:
        """Begin attempts on what was lent to this courier as it was recorded.

        One that has ended leaves them: their leases run out.
        """
        if self._ended:
            return
        for delivery in lent:
            self._start(delivery)
        self._look_around()

    def _look_around(self) -> None:
        if self._stopping.is_set():
            return
        now = self._now()
        self._room = Room(
            slots=self._pace.slots - self._per_party.total(),
            per_party=self._pace.per_party,
            under_way=self._per_party,
            shut=self._breaker.closed_for(now) | self._breaker.on_trial(now),
            lease=self._pace.lease,
        )

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
            self._ended, self._room = True, None
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
            self._hinted = True
            await self._leave_alone(fault)
            return
        self._faults = 0
        self._look_around()
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
        look = self._hinted or self._now() >= self._look_at
        more = look or bool(self._known)
        while more and not self._stopping.is_set():
            now = self._now()
            closed = self._breaker.closed_for(now) | self._breaker.on_trial(now)
            more = await self._take(self._pace.slots, closed, look=look)

    async def _take(self, limit: int, closed: frozenset[Oin], *, look: bool = True) -> bool:
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
            if look:  # an attempt that ends makes room, and wakes us
                self._hinted, self._look_at = True, self._now() + self._pace.sleep
            return False
        now, group = self._now(), list(self._known)
        if look:
            self._hinted, self._looked = False, True
            self._look_at = now + self._pace.sleep
        lease = partial(self._work.turn, group, look=look) if group else self._work.lease
        leased = await lease(
            now=now,
            until=now + self._pace.lease,
            limit=limit,
            channels=self._channels,
            closed=closed | busy,
        )
        del self._known[: len(group)]
        for delivery in leased:
            self._start(delivery)
        more = len(leased) == limit
        if more or closed or busy:
            self._hinted = True  # something may be left for whoever has a slot free later
        return more

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
            if conclusion.state is State.WACHT and conclusion.retry_at is not None:
                self._look_at = min(conclusion.retry_at, self._look_at)
            self._breaker.heard(party, conclusion.attempted, self._now())
        finally:
            self._per_party[party] -= 1
            if not self._per_party[party]:
                del self._per_party[party]
            self._news.set()

    async def _until_due(self) -> timedelta:
        """How long there is nothing to do, unless a hint comes or an attempt ends."""
        if self._looked and not self._per_party:
            self._looked = False
            due = await self._work.next_due(self._channels)
            # what is due and was not lent waits for a predecessor or a party: not for us
            if due is not None and due > self._now():
                self._look_at = min(due, self._look_at)
        return max(self._look_at - self._now(), NONE)

    async def _finish(self) -> None:
        """Let what is under way end, and write it; leases cover what cannot be written."""
        with suppress(Fault):  # a batch that is being recorded may still lend us something
            await self._work.conclude([])
        while self._under_way:
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
