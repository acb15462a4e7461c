"""The loop of role bezorgen: nothing is lost, and nobody waits for somebody else's trouble."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from fixtures.keyring import a_keyring
from gateway.adapters.breaker import Breaker, BreakerPolicy
from gateway.adapters.courier import Courier, Dispatch, Pace, Work, wait_for
from gateway.adapters.ledger.ledger import ledger_in_memory
from gateway.adapters.ledger.writer import Writer
from gateway.adapters.ledger_work import LedgerWork
from gateway.delivery import Answer, Attempted, Conclusion, RetryPolicy, State, after
from gateway.errors import BrokerUnavailable, LedgerUnavailable
from gateway.message import Channel, Delivery, Oin
from tests.conformance.submissions import (
    admitting,
    many,
    strangers_to_each_other,
)
from tests.unit.test_delivery import PARTY, a_delivery

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
OTHER = Oin("00000099000000009990")
SECOND = timedelta(seconds=1)
PUSH = frozenset({Channel.PUSH})
AT_ONCE = RetryPolicy(first_wait=timedelta(0))
PACE = Pace(slots=8, per_party=4)
SPINS = 10_000


class Bell:
    """Rings when something changed; a test waits until what it waits for is so."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            self._rung.clear()
            await self._rung.wait()


@dataclass
class Clock:
    """Stands still until a test moves it; knows when the courier has nothing to do."""

    now: datetime = NOON
    spans: list[timedelta] = field(default_factory=list)
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    bell: Bell = field(default_factory=Bell)
    asked: int = 0
    _sleeping: dict[asyncio.Future[None], datetime] = field(default_factory=dict)

    def __call__(self) -> datetime:
        self.asked += 1
        assert self.asked < SPINS, "asked so often without a wait, nothing else would get its turn"
        return self.now

    async def wait(self, event: asyncio.Event, span: timedelta) -> None:
        self.asked = 0
        self.spans.append(span)
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleeping[over] = self.now + span
        woken = asyncio.create_task(event.wait())
        self.idle.set()
        self.bell.ring()
        either: set[asyncio.Future[Any]] = {over, woken}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.idle.clear()
            self.bell.ring()
            del self._sleeping[over]
            woken.cancel()

    def release(self) -> None:
        """End every sleep now."""
        self.idle.clear()
        for over in self._sleeping:
            over.set_result(None)

    async def move(self, span: timedelta) -> None:
        """Let time pass while the courier sleeps, and wait until it sleeps again."""
        await self.idle.wait()
        self.now += span
        due = [over for over, at in self._sleeping.items() if at <= self.now]
        for over in due:
            over.set_result(None)
        if due:
            self.idle.clear()
            await self.idle.wait()


@dataclass
class Line:
    """A delivery on the shelf."""

    delivery: Delivery
    due: datetime
    fence: int = 0
    attempts: int = 0
    leased_until: datetime | None = None
    state: State = State.WACHT

    def may_go(self, now: datetime) -> bool:
        free = self.leased_until is None or self.leased_until <= now
        return self.state is State.WACHT and free and self.due <= now


class Shelf:
    """A ledger in memory, as far as the courier sees one; fails when told."""

    def __init__(self, *deliveries: Delivery, due: datetime = NOON) -> None:
        self.lines = {delivery.id: Line(delivery, due) for delivery in deliveries}
        self.groups: list[int] = []
        self.turns = 0
        self.writing = 0
        self.leases: list[tuple[int, timedelta]] = []
        self.faults: list[Exception] = []
        self.open = asyncio.Event()
        self.open.set()
        self.bell = Bell()
        self.recording: Callable[[], None] = lambda: None

    async def lease(
        self,
        *,
        now: datetime,
        until: datetime,
        limit: int,
        channels: frozenset[Channel],
        closed: frozenset[Oin],
    ) -> Sequence[Delivery]:
        self._fail()
        due = [
            line
            for line in self.lines.values()
            if line.may_go(now)
            and line.delivery.ontvanger not in closed
            and line.delivery.channel in channels
        ][:limit]
        self.leases.append((len(due), until - now))
        for line in due:
            line.leased_until = until
            line.attempts += 1
            line.fence += 1
        return [
            replace(line.delivery, attempt=line.attempts, fence=line.fence, queued_at=NOON)
            for line in due
        ]

    async def conclude(self, conclusions: Sequence[Conclusion]) -> int:
        if not conclusions:
            self.recording()
            return 0
        self.writing += 1
        self.bell.ring()
        await self.open.wait()
        self._fail()
        self.groups.append(len(conclusions))
        for told in conclusions:
            line = self.lines[told.delivery_id]
            if line.fence == told.fence:
                line.state, line.leased_until = told.state, None
                line.due = told.retry_at or line.due
        self.bell.ring()
        return len(conclusions)

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
        self.turns += 1
        could = {line.delivery.id for line in self.lines.values() if line.may_go(now)}
        await self.conclude(conclusions)
        can = {line.delivery.id for line in self.lines.values() if line.may_go(now)}
        if not look and can <= could:
            return []
        return await self.lease(now=now, until=until, limit=limit, channels=channels, closed=closed)

    async def next_due(self, channels: frozenset[Channel]) -> datetime | None:
        self._fail()
        waiting = [
            line.leased_until or line.due
            for line in self.lines.values()
            if line.state is State.WACHT
        ]
        return min(waiting, default=None)

    def _fail(self) -> None:
        if self.faults:
            raise self.faults.pop(0)

    def of(self, party: Oin, state: State) -> int:
        """How many deliveries of this party are in this state."""
        return sum(
            line.state is state and line.delivery.ontvanger == party for line in self.lines.values()
        )


class Peers:
    """The other side: answers as told, and holds attempts of a party while told to."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.answers: dict[Oin, Answer] = {}
        self.raising: dict[str, Exception] = {}
        self.gates: dict[Oin, asyncio.Event] = {}
        self.started: list[Delivery] = []
        self.now: Counter[Oin] = Counter()
        self.most: Counter[Oin] = Counter()
        self.cancelled = 0
        self.bell = Bell()

    def hold(self, party: Oin) -> asyncio.Event:
        """Attempts of this party wait until the event is set."""
        self.gates[party] = asyncio.Event()
        return self.gates[party]

    async def dispatch(self, delivery: Delivery) -> Conclusion:
        party = delivery.ontvanger
        self.started.append(delivery)
        self.now[party] += 1
        self.most[party] = max(self.most[party], self.now[party])
        self.bell.ring()
        try:
            if party in self.gates:
                await self.gates[party].wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.now[party] -= 1
            self.bell.ring()
        if delivery.id in self.raising:
            raise self.raising.pop(delivery.id)
        return after(
            delivery,
            Attempted(self.answers.get(party, Answer.CONFIRMED)),
            policy=AT_ONCE,
            started_at=self.clock.now,
            ended_at=self.clock.now,
            jitter=0.5,
        )


@dataclass
class World:
    courier: Courier
    clock: Clock
    peers: Peers
    running: asyncio.Task[None]

    async def stopped(self) -> None:
        self.courier.stop()
        await self.running


@asynccontextmanager
async def a_world(
    work: Work,
    *,
    pace: Pace = PACE,
    breaker: Breaker | None = None,
    dispatch: Dispatch | None = None,
    prepare: Callable[[Peers], object] = lambda _: None,
) -> AsyncIterator[World]:
    clock = Clock()
    peers = Peers(clock)
    prepare(peers)
    courier = Courier(
        work,
        dispatch or peers.dispatch,
        channels=PUSH,
        breaker=breaker or Breaker(),
        now=clock,
        pace=pace,
        wait=clock.wait,
    )
    running = asyncio.create_task(courier.run())
    try:
        yield World(courier, clock, peers, running)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError, RuntimeError):
            await running


_numbers = count(1)


def deliveries(number: int, party: Oin = PARTY) -> list[Delivery]:
    """So many deliveries to one party, each in a conversation of its own."""
    return [
        a_delivery(id=f"{next(_numbers)}", ontvanger=party, conversatie=f"{next(_numbers)}")
        for _ in range(number)
    ]


async def test_every_due_delivery_is_tried_and_written() -> None:
    shelf = Shelf(*deliveries(30))

    async with a_world(shelf):
        await shelf.bell.until(lambda: shelf.of(PARTY, State.BEVESTIGD) == 30)

    assert sum(shelf.groups) == 30


async def test_what_ends_during_one_write_shares_the_next() -> None:
    shelf = Shelf(*deliveries(1), *deliveries(3, OTHER))

    async with a_world(shelf, prepare=lambda peers: peers.hold(OTHER)) as world:
        shelf.open.clear()
        await shelf.bell.until(lambda: shelf.writing == 1)
        world.peers.gates[OTHER].set()
        await world.peers.bell.until(lambda: world.peers.now[OTHER] == 0)
        shelf.open.set()
        await shelf.bell.until(lambda: shelf.of(OTHER, State.BEVESTIGD) == 3)

    assert shelf.groups == [1, 3]


async def test_what_is_known_is_written_together_with_the_next_lease() -> None:
    shelf = Shelf(*deliveries(1), *deliveries(3, OTHER))

    async with a_world(shelf) as world:
        await shelf.bell.until(lambda: shelf.of(OTHER, State.BEVESTIGD) == 3)
        await world.stopped()

    assert shelf.turns == len(shelf.groups)


async def test_what_is_known_is_written_also_while_no_slot_is_free() -> None:
    shelf = Shelf(*deliveries(2), *deliveries(PACE.slots, OTHER))
    full = Pace(slots=2, per_party=2)

    async with a_world(shelf, pace=full, prepare=lambda peers: peers.hold(OTHER)):
        await shelf.bell.until(lambda: shelf.of(PARTY, State.BEVESTIGD) == 2)


async def test_while_the_way_out_is_closed_what_is_known_is_written_and_nothing_is_lent() -> None:
    ledger = ledger_in_memory(a_keyring(), clock=lambda: NOON)
    writer = Writer(ledger, admitting(), clock=lambda: NOON)
    for submission in strangers_to_each_other(3):
        await writer.record(submission)
    is_open = [True]
    work = LedgerWork(writer, ledger, lambda: is_open[0])
    how: dict[str, Any] = {
        "now": NOON,
        "until": NOON + SECOND,
        "limit": 1,
        "channels": PUSH,
        "closed": frozenset(),
    }
    told = Attempted(Answer.CONFIRMED)

    [first] = await work.turn([], **how)
    done = after(first, told, started_at=NOON, ended_at=NOON, jitter=0.5)
    [second] = await work.turn([done], **how)
    is_open[0] = False
    done = after(second, told, started_at=NOON, ended_at=NOON, jitter=0.5)
    lent = await work.turn([done], **how)
    again = await work.conclude([done])

    assert (lent, again) == ([], 0)
    assert first.id != second.id
    await writer.close()
    ledger.close()


async def test_a_slow_party_has_its_own_bound_and_delays_no_other() -> None:
    shelf = Shelf(*deliveries(50), *deliveries(50, OTHER))

    async with a_world(shelf, prepare=lambda peers: peers.hold(PARTY)) as world:
        await shelf.bell.until(lambda: shelf.of(OTHER, State.BEVESTIGD) == 50)
        stuck = world.peers.now[PARTY]
        world.peers.gates[PARTY].set()
        await shelf.bell.until(lambda: shelf.of(PARTY, State.BEVESTIGD) == 50)

    assert 0 < stuck <= PACE.per_party
    assert max(world.peers.most.values()) <= PACE.per_party


async def test_a_party_with_attempts_under_way_gets_no_more_than_what_is_left_of_its_bound() -> (
    None
):
    shelf = Shelf(*deliveries(2))

    async with a_world(shelf, prepare=lambda peers: peers.hold(PARTY)) as world:
        await world.clock.idle.wait()
        for delivery in deliveries(10):
            shelf.lines[delivery.id] = Line(delivery, NOON)
        world.courier.hint()
        await world.peers.bell.until(lambda: world.peers.now[PARTY] > 2)
        await world.clock.idle.wait()
        under_way = world.peers.now[PARTY]

    assert under_way == PACE.per_party


async def test_no_more_attempts_run_than_there_are_slots() -> None:
    parties = [Oin(f"{number:020}") for number in range(10)]
    shelf = Shelf(*(each for party in parties for each in deliveries(2, party)))

    async with a_world(
        shelf, prepare=lambda peers: [peers.hold(party) for party in parties]
    ) as world:
        await world.clock.idle.wait()
        under_way = world.peers.now.total()

    assert under_way == PACE.slots


@pytest.mark.timeout(30)
async def test_a_courier_without_a_free_slot_sleeps_until_one_is_free() -> None:
    parties = [Oin(f"{number:020}") for number in range(10)]
    shelf = Shelf(*(each for party in parties for each in deliveries(2, party)))

    async with a_world(
        shelf, prepare=lambda peers: [peers.hold(party) for party in parties]
    ) as world:
        await world.clock.idle.wait()
        for _ in range(3):
            await world.clock.move(2 * PACE.sleep)
        assert world.peers.now.total() == PACE.slots
        for gate in world.peers.gates.values():
            gate.set()
        await world.peers.bell.until(lambda: len(world.peers.started) == 2 * len(parties))


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (RuntimeError("Wilhelmina Kanarie"), logging.ERROR),
        (BrokerUnavailable("Wilhelmina Kanarie"), logging.WARNING),
    ],
)
async def test_an_attempt_that_crashes_is_named_by_class_and_tried_when_its_lease_ends(
    error: Exception, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = deliveries(2)
    shelf = Shelf(first, second)

    async with a_world(
        shelf, prepare=lambda peers: peers.raising.update({first.id: error})
    ) as world:
        await shelf.bell.until(lambda: shelf.lines[second.id].state is State.BEVESTIGD)
        await world.clock.move(PACE.attempt + PACE.margin)
        await shelf.bell.until(lambda: shelf.lines[first.id].state is State.BEVESTIGD)

    assert shelf.lines[first.id].attempts == 2
    (said,) = (record for record in caplog.records if record.name.endswith("courier"))
    assert (said.levelno, said.message) == (level, "courier.attempt_failed")
    assert vars(said)["delivery_id"] == first.id
    assert vars(said)["error"] == type(error).__name__
    assert "Kanarie" not in str(vars(said))


async def test_an_attempt_that_outlasts_its_time_ends_before_its_lease() -> None:
    shelf = Shelf(*deliveries(1))
    pace = replace(PACE, attempt=timedelta(milliseconds=10))

    async with a_world(shelf, pace=pace, prepare=lambda peers: peers.hold(PARTY)) as world:
        await world.peers.bell.until(lambda: world.peers.cancelled == 1)

    assert shelf.leases[0] == (1, pace.attempt + pace.margin)


async def test_a_ledger_that_does_not_answer_is_left_alone_ever_longer() -> None:
    shelf = Shelf(*deliveries(1))
    shelf.faults = [LedgerUnavailable("down") for _ in range(6)]

    async with a_world(shelf) as world:
        for seconds in (0.5, 1, 2, 4, 5, 5):
            await world.clock.idle.wait()
            world.courier.hint()  # a hint does not shorten it
            await world.clock.move(timedelta(seconds=seconds))
        await shelf.bell.until(lambda: shelf.of(PARTY, State.BEVESTIGD) == 1)
        shelf.faults = [LedgerUnavailable("down again")]
        await world.clock.move(SECOND)

    spans = [span.total_seconds() for span in world.clock.spans]
    assert spans[:6] == [0.5, 1, 2, 4, 5, 5]
    assert spans[-1] == 0.5, "a ledger that came back starts with a clean slate"


async def test_what_an_attempt_came_to_is_kept_until_the_ledger_takes_it() -> None:
    shelf = Shelf(*deliveries(3))

    async with a_world(shelf, prepare=lambda peers: peers.hold(PARTY)) as world:
        await world.clock.idle.wait()
        shelf.faults = [LedgerUnavailable("down"), LedgerUnavailable("down")]
        world.peers.gates[PARTY].set()
        await world.clock.bell.until(lambda: world.clock.spans[-1:] == [SECOND / 2])
        await world.clock.move(SECOND / 2)
        await world.clock.move(SECOND)
        await shelf.bell.until(lambda: shelf.of(PARTY, State.BEVESTIGD) == 3)

    assert shelf.groups == [3]
    assert [line.attempts for line in shelf.lines.values()] == [1, 1, 1]


async def test_a_hint_wakes_the_courier_before_its_time() -> None:
    shelf = Shelf()

    async with a_world(shelf) as world:
        await world.clock.idle.wait()
        (delivery,) = deliveries(1)
        shelf.lines[delivery.id] = Line(delivery, NOON)
        world.courier.hint()
        await shelf.bell.until(lambda: shelf.of(PARTY, State.BEVESTIGD) == 1)

    assert world.clock.now == NOON


async def test_the_courier_sleeps_until_the_next_is_due_and_a_second_at_most() -> None:
    soon, later = SECOND * 0.3, SECOND * 5
    shelf = Shelf(*deliveries(1), due=NOON + soon)

    async with a_world(shelf) as world:
        await world.clock.move(soon)
        await shelf.bell.until(lambda: shelf.of(PARTY, State.BEVESTIGD) == 1)
        (delivery,) = deliveries(1)
        shelf.lines[delivery.id] = Line(delivery, NOON + later)
        await world.clock.move(SECOND)

    assert world.clock.spans[0] == soon
    assert set(world.clock.spans[1:]) == {SECOND}


async def test_what_is_due_but_not_lent_does_not_make_the_courier_spin() -> None:
    breaker = Breaker(BreakerPolicy(failures=1))
    breaker.heard(PARTY, Attempted(Answer.UNAVAILABLE), NOON)
    shelf = Shelf(*deliveries(1))

    async with a_world(shelf, breaker=breaker) as world:
        for _ in range(3):
            await world.clock.move(SECOND)

    assert set(world.clock.spans) == {SECOND}
    assert world.peers.started == []


async def test_a_stop_lets_attempts_end_and_writes_them_and_takes_nothing_more() -> None:
    shelf = Shelf(*deliveries(10))

    async with a_world(shelf, prepare=lambda peers: peers.hold(PARTY)) as world:
        await world.clock.idle.wait()
        under_way = world.peers.now[PARTY]
        world.courier.stop()
        await world.clock.bell.until(lambda: not world.clock.idle.is_set())
        still_under_way = not world.running.done()
        world.peers.gates[PARTY].set()
        await world.running

    assert still_under_way
    assert shelf.of(PARTY, State.BEVESTIGD) == under_way == PACE.per_party
    assert len(world.peers.started) == under_way


async def test_a_stop_ends_also_when_the_ledger_never_comes_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shelf = Shelf(*deliveries(2))

    async with a_world(shelf, prepare=lambda peers: peers.hold(PARTY)) as world:
        await world.clock.idle.wait()
        shelf.faults = [LedgerUnavailable("down") for _ in range(PACE.last_tries)]
        world.clock.idle.clear()
        world.courier.stop()
        world.peers.gates[PARTY].set()
        for _ in range(PACE.last_tries - 1):
            await world.clock.idle.wait()
            world.clock.release()
        await world.running

    assert "courier.unwritten" in caplog.messages
    assert shelf.of(PARTY, State.WACHT) == 2


async def test_a_courier_that_is_cancelled_leaves_no_attempt_running() -> None:
    shelf = Shelf(*deliveries(3))

    async with a_world(shelf, prepare=lambda peers: peers.hold(PARTY)) as world:
        await world.clock.idle.wait()
        world.running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await world.running

    assert world.peers.cancelled == 3


async def test_a_bug_in_the_ledger_rises_and_leaves_no_attempt_running() -> None:
    shelf = Shelf(*deliveries(3))

    async with a_world(shelf, prepare=lambda peers: peers.hold(PARTY)) as world:
        await world.clock.idle.wait()
        shelf.faults = [RuntimeError("a bug")]
        world.courier.hint()
        with pytest.raises(RuntimeError):
            await world.running

    assert world.peers.cancelled == 3


async def test_a_failing_party_is_passed_over_and_comes_back_with_one_trial() -> None:
    policy = BreakerPolicy(failures=3, first_pause=SECOND * 30)
    shelf = Shelf(*deliveries(4), *deliveries(1, OTHER))

    async with a_world(
        shelf,
        breaker=Breaker(policy),
        prepare=lambda peers: peers.answers.update({PARTY: Answer.UNAVAILABLE}),
    ) as world:
        await world.clock.idle.wait()
        before = attempts(world, PARTY)
        for _ in range(29):
            await world.clock.move(SECOND)
        during = attempts(world, PARTY)
        world.peers.answers.clear()
        gate = world.peers.hold(PARTY)
        for _ in range(3):
            await world.clock.move(SECOND)
        trials = world.peers.now[PARTY]
        gate.set()
        await shelf.bell.until(lambda: shelf.of(PARTY, State.BEVESTIGD) == 4)

    assert policy.failures <= before <= policy.failures + PACE.per_party
    assert during == before
    assert trials == 1
    assert shelf.of(OTHER, State.BEVESTIGD) == 1


async def test_a_trial_is_one_attempt_also_when_others_come_first_in_the_ledger() -> None:
    breaker = Breaker(BreakerPolicy(failures=1, first_pause=SECOND))
    breaker.heard(PARTY, Attempted(Answer.UNAVAILABLE), NOON - SECOND)
    shelf = Shelf(*deliveries(2, OTHER), *deliveries(4))

    async with a_world(shelf, breaker=breaker, prepare=lambda peers: peers.hold(PARTY)) as world:
        await shelf.bell.until(lambda: shelf.of(OTHER, State.BEVESTIGD) == 2)
        await world.peers.bell.until(lambda: world.peers.now[PARTY] > 0)
        await world.clock.idle.wait()
        trials = world.peers.now[PARTY]

    assert trials == 1


def attempts(world: World, party: Oin) -> int:
    return sum(delivery.ontvanger == party for delivery in world.peers.started)


async def test_the_wait_of_the_event_loop_ends_with_the_event_or_the_time() -> None:
    event = asyncio.Event()

    await wait_for(event, timedelta(milliseconds=1))
    event.set()
    await wait_for(event, timedelta(days=1))


async def test_with_a_real_ledger_a_conversation_arrives_in_order_despite_failures() -> None:
    ledger = ledger_in_memory(a_keyring(), clock=lambda: NOON)
    writer = Writer(ledger, admitting(), clock=lambda: NOON)
    for submission in [*many(4), *strangers_to_each_other(4, first=10)]:
        await writer.record(submission)
    heard: list[tuple[str, int, int]] = []
    bell = Bell()

    async def flaky(delivery: Delivery) -> Conclusion:
        heard.append((delivery.conversatie, delivery.volgnummer, delivery.attempt))
        bell.ring()
        answer = Answer.CONFIRMED if delivery.attempt > 1 else Answer.UNAVAILABLE
        return after(
            delivery,
            Attempted(answer),
            policy=AT_ONCE,
            started_at=NOON,
            ended_at=NOON,
            jitter=0.5,
        )

    def lenient() -> Breaker:
        return Breaker(BreakerPolicy(failures=100))

    async with a_world(LedgerWork(writer, ledger), breaker=lenient(), dispatch=flaky) as world:
        await bell.until(lambda: len(heard) == 16)
        await world.stopped()

    in_order = [(number, attempt) for number in (1, 2, 3, 4) for attempt in (1, 2)]
    conversation = heard[0][0]
    assert [each[1:] for each in heard if each[0] == conversation] == in_order
    assert await writer.read(lambda: ledger.next_due(PUSH)) is None
    await writer.close()
    ledger.close()


async def lent_at_once(shelf: Shelf, number: int = 1) -> Sequence[Delivery]:
    """So many, lent to the courier as they were recorded."""
    until = NOON + PACE.lease
    return await shelf.lease(now=NOON, until=until, limit=number, channels=PUSH, closed=frozenset())


async def test_what_was_lent_as_it_was_recorded_is_tried_and_written() -> None:
    shelf = Shelf(*deliveries(3))
    lent = await lent_at_once(shelf, 3)

    async with a_world(shelf) as world:
        world.courier.take(lent)
        await shelf.bell.until(lambda: shelf.of(PARTY, State.BEVESTIGD) == 3)

    assert len(world.peers.started) == 3


async def test_a_courier_that_knows_that_nothing_is_left_does_not_look_again() -> None:
    shelf = Shelf(*deliveries(3))
    lent = await lent_at_once(shelf, 3)

    async with a_world(shelf) as world:
        await world.clock.idle.wait()
        looked = len(shelf.leases)
        world.courier.take(lent)
        await shelf.bell.until(lambda: shelf.of(PARTY, State.BEVESTIGD) == 3)
        await world.stopped()

    assert len(shelf.leases) == looked


async def test_room_is_what_is_left_of_the_slots_and_none_once_it_stops() -> None:
    shelf = Shelf(*deliveries(2))
    lent = await lent_at_once(shelf, 2)

    async with a_world(shelf) as world:
        await world.clock.idle.wait()
        gate = world.peers.hold(PARTY)
        world.courier.take(lent)
        room = world.courier.room
        world.courier.stop()
        after_stop = world.courier.room
        gate.set()
        await world.stopped()

    assert room is not None
    assert room.slots == PACE.slots - 2
    assert room.under_way.get(PARTY, 0) == 0  # it tells what is so when it is asked
    assert room.lease == PACE.lease
    assert after_stop is None


async def test_what_is_handed_over_while_it_stops_is_still_finished() -> None:
    shelf = Shelf(*deliveries(2))
    first, second = await lent_at_once(shelf, 2)

    async with a_world(shelf) as world:
        await world.clock.idle.wait()
        gate = world.peers.hold(PARTY)
        world.courier.take([first])
        world.courier.stop()
        world.courier.take([second])
        gate.set()
        await world.stopped()

    assert shelf.of(PARTY, State.BEVESTIGD) == 2


async def test_one_that_has_ended_leaves_what_it_is_given_to_its_lease() -> None:
    shelf = Shelf(*deliveries(1))
    lent = await lent_at_once(shelf)

    async with a_world(shelf) as world:
        await world.stopped()
        world.courier.take(lent)

    assert world.peers.started == []


async def test_what_a_batch_lends_to_one_that_stops_is_delivered_before_it_ends() -> None:
    shelf = Shelf(*deliveries(1))
    lent = await lent_at_once(shelf)

    async with a_world(shelf) as world:
        await world.clock.idle.wait()
        shelf.recording = lambda: world.courier.take(lent)
        await world.stopped()

    assert shelf.of(PARTY, State.BEVESTIGD) == 1
