"""The writer commits together what waits together, and tells each waiter its own outcome."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from fixtures.keyring import a_keyring
from gateway.adapters.ledger.ledger import SqlLedger, ledger_in_memory
from gateway.adapters.ledger.writer import LARGEST_BATCH, Writer
from gateway.errors import Code, LedgerUnavailable, Overloaded, Refusal
from gateway.message import Delivery, Receipt, Submission
from gateway.record import Admit, AtOnce, Ledger, Outcome
from tests.conformance.conftest import at_noon
from tests.conformance.delivering import EVERYWHERE, lend
from tests.conformance.submissions import (
    NOON,
    a_submission,
    admitting,
    many,
    refusing,
    strangers_to_each_other,
)


class Gate:
    """A ledger that records only while it is open, and remembers the sizes of the batches."""

    def __init__(self, record: Callable[..., list[Outcome]]) -> None:
        self._record = record
        self.open = threading.Event()
        self.entered = threading.Event()
        self.sizes: list[int] = []
        self.threads: set[int] = set()

    def record(
        self,
        batch: Sequence[Submission],
        admit: Admit,
        at: datetime,
        at_once: AtOnce | None = None,
    ) -> list[Outcome]:
        self.entered.set()
        assert self.open.wait(20)
        self.sizes.append(len(batch))
        self.threads.add(threading.get_ident())
        return self._record(batch, admit, at, at_once)

    def other(self) -> int:
        self.threads.add(threading.get_ident())
        return 7


@asynccontextmanager
async def writing(ledger: object, admit: Admit | None = None, **rest: Any) -> AsyncIterator[Writer]:
    writer = Writer(cast(Ledger, ledger), admit or admitting(), clock=at_noon, **rest)
    try:
        yield writer
    finally:
        await writer.close()


@pytest.fixture
def memory() -> SqlLedger:
    return ledger_in_memory(a_keyring(), clock=at_noon)


async def entered(gate: Gate) -> None:
    assert await asyncio.to_thread(gate.entered.wait, 20)


async def started(*works: Any) -> list[asyncio.Task[Any]]:
    """Tasks that have come as far as they can."""
    tasks = [asyncio.ensure_future(each) for each in works]
    await asyncio.sleep(0)
    return tasks


async def test_a_receipt_comes_after_the_commit(memory: SqlLedger) -> None:
    async with writing(memory) as writer:
        receipt = await writer.record(a_submission(1))
        again = await writer.record(a_submission(1))

    assert isinstance(receipt, Receipt)
    assert (receipt.repeated, again.repeated) == (False, True)
    assert len(lend(memory)) == 1


async def test_each_waiter_gets_its_own_outcome(memory: SqlLedger) -> None:
    sent = strangers_to_each_other(200)
    async with writing(memory, refusing(5)) as writer:
        outcomes = await asyncio.gather(*map(writer.record, sent), return_exceptions=True)

    refusals = [each for each in outcomes if isinstance(each, Refusal)]
    assert [each.code for each in refusals] == [Code.GEEN_RECHT]
    for submission, outcome in zip(sent, outcomes, strict=True):
        if isinstance(outcome, Receipt):
            assert submission.receipt_id.encode() in outcome.document


async def test_what_waits_together_is_committed_together(memory: SqlLedger) -> None:
    gate = Gate(memory.record)
    async with writing(gate) as writer:
        (first,) = await started(writer.record(a_submission(1)))
        await entered(gate)
        rest = await started(*map(writer.record, many(LARGEST_BATCH + 1, first=2)))
        gate.open.set()
        await asyncio.gather(first, *rest)

    assert gate.sizes == [1, LARGEST_BATCH, 1]


async def test_more_than_may_wait_is_refused_at_once(memory: SqlLedger) -> None:
    gate = Gate(memory.record)
    async with writing(gate, waiting=3) as writer:
        (first,) = await started(writer.record(a_submission(1)))
        await entered(gate)
        waiting = await started(*map(writer.record, many(3, first=2)))
        assert writer.waiting == 3

        with pytest.raises(Overloaded):
            await writer.record(a_submission(9))

        gate.open.set()
        await asyncio.gather(first, *waiting)
        await writer.record(a_submission(9))  # there is room again


async def test_one_poisonous_message_does_not_fail_its_batch(memory: SqlLedger) -> None:
    class Poison(Exception):
        pass

    def record(
        batch: Sequence[Submission], admit: Admit, at: datetime, at_once: AtOnce | None
    ) -> list[Outcome]:
        if any(each.canonical == a_submission(3).canonical for each in batch):
            raise Poison
        return memory.record(batch, admit, at, at_once)

    gate = Gate(record)
    async with writing(gate) as writer:
        (first,) = await started(writer.record(a_submission(1)))
        await entered(gate)
        rest = await started(*map(writer.record, many(4, first=2)))
        gate.open.set()
        outcomes = await asyncio.gather(first, *rest, return_exceptions=True)

    kinds = [type(each) for each in outcomes]
    assert kinds == [Receipt, Receipt, Poison, Receipt, Receipt]


async def test_a_ledger_that_does_not_answer_is_told_to_each_waiter() -> None:
    def record(
        batch: Sequence[Submission], admit: Admit, at: datetime, at_once: AtOnce | None
    ) -> list[Outcome]:
        raise LedgerUnavailable("the ledger does not answer")

    gate = Gate(record)
    async with writing(gate) as writer:
        (first,) = await started(writer.record(a_submission(1)))
        await entered(gate)
        rest = await started(*map(writer.record, many(3, first=2)))
        gate.open.set()
        outcomes = await asyncio.gather(first, *rest, return_exceptions=True)

    assert [type(each) for each in outcomes] == [LedgerUnavailable] * 4
    assert len({id(each) for each in outcomes}) == 4
    assert gate.sizes == [1, 3]  # not tried one by one


async def test_other_writes_happen_in_the_same_thread_between_batches(memory: SqlLedger) -> None:
    gate = Gate(memory.record)
    gate.open.set()
    async with writing(gate) as writer:
        await writer.record(a_submission(1))

        assert await writer.run(gate.other) == 7

    assert len(gate.threads) == 1
    assert threading.get_ident() not in gate.threads


async def test_a_write_that_fails_is_told_to_who_waits(memory: SqlLedger) -> None:
    def fail(reason: str) -> None:
        raise LedgerUnavailable(reason)

    async with writing(memory) as writer:
        with pytest.raises(LedgerUnavailable, match="gone"):
            await writer.run(fail, "gone")

        await writer.record(a_submission(1))


async def test_reads_do_not_wait_for_the_writer(memory: SqlLedger) -> None:
    gate = Gate(memory.record)
    async with writing(gate) as writer:
        (first,) = await started(writer.record(a_submission(1)))
        await entered(gate)

        due = await writer.read(memory.next_due, EVERYWHERE)

        assert due is None
        assert not first.done()
        gate.open.set()
        await first
        assert await writer.read(memory.next_due, channels=EVERYWHERE) == NOON


async def test_who_goes_away_does_not_hinder_the_others(memory: SqlLedger) -> None:
    gate = Gate(memory.record)
    async with writing(gate) as writer:
        busy, gone, patient = await started(
            writer.record(a_submission(1)),
            writer.record(a_submission(2)),
            writer.record(a_submission(3)),
        )
        await entered(gate)
        gone.cancel()
        await asyncio.sleep(0)
        gate.open.set()
        await asyncio.gather(busy, patient)

    assert gone.cancelled()


async def test_closing_finishes_what_waits_and_takes_nothing_new(memory: SqlLedger) -> None:
    gate = Gate(memory.record)
    writer = Writer(cast(Ledger, gate), admitting(), clock=at_noon)
    (first,) = await started(writer.record(a_submission(1)))
    await entered(gate)
    waiting = await started(*map(writer.record, many(3, first=2)), writer.run(gate.other))

    (closing,) = await started(writer.close())
    for refused in (
        writer.record(a_submission(9)),
        writer.run(gate.other),
        writer.read(gate.other),
    ):
        with pytest.raises(LedgerUnavailable, match="stopping"):
            await refused
    gate.open.set()
    await closing

    outcomes = await asyncio.gather(first, *waiting)
    assert outcomes[-1] == 7
    assert all(isinstance(each, Receipt) for each in outcomes[:-1])


class Desk:
    """Takes what is recorded, for a while; refuses a batch while it is closed."""

    def __init__(self) -> None:
        self.taken: list[Delivery] = []
        self.asked_in: set[int] = set()
        self.given_in: set[int] = set()

    def offer(self, now: datetime) -> AtOnce:
        self.asked_in.add(threading.get_ident())
        return lambda channel, ontvanger, size: now + timedelta(seconds=30)

    def take(self, lent: Sequence[Delivery]) -> None:
        self.given_in.add(threading.get_ident())
        self.taken += lent


async def test_what_may_leave_at_once_is_given_in_the_event_loop_before_the_receipt(
    memory: SqlLedger,
) -> None:
    desk = Desk()
    async with writing(memory) as writer:
        writer.hand_to(desk)
        receipt = await writer.record(a_submission(1))

        assert [each.id for each in desk.taken] == [a_submission(1).delivery_id]
    assert receipt.all_lent
    assert desk.given_in == {threading.get_ident()}
    assert not desk.asked_in & desk.given_in


async def test_a_batch_that_is_not_recorded_gives_nobody_anything(memory: SqlLedger) -> None:
    def record(
        batch: Sequence[Submission], admit: Admit, at: datetime, at_once: AtOnce | None
    ) -> list[Outcome]:
        raise LedgerUnavailable("the ledger does not answer")

    desk, gate = Desk(), Gate(record)
    gate.open.set()
    async with writing(gate) as writer:
        writer.hand_to(desk)
        with pytest.raises(LedgerUnavailable):
            await writer.record(a_submission(1))

    assert desk.taken == []
