"""The writer's bounds: other writes never hold up messages, and no queue grows without end."""

from __future__ import annotations

import asyncio
import threading

import pytest

from fixtures.keyring import a_keyring
from gateway.adapters.ledger.ledger import SqlLedger, ledger_in_memory
from gateway.adapters.ledger.writer import MOST_JOBS
from gateway.errors import Overloaded
from gateway.message import Receipt
from tests.conformance.conftest import at_noon
from tests.conformance.submissions import a_submission
from tests.conformance.test_ledger_writer import started, writing


@pytest.fixture
def memory() -> SqlLedger:
    return ledger_in_memory(a_keyring(), clock=at_noon)


class Door:
    """A write that lasts until it is let go, and counts those behind it."""

    def __init__(self) -> None:
        self.entered, self.open = threading.Event(), threading.Event()
        self.done = 0

    def hold(self) -> None:
        self.entered.set()
        assert self.open.wait(20)

    def count(self) -> int:
        self.done += 1
        return self.done


async def test_a_message_waits_for_no_more_than_so_many_other_writes(memory: SqlLedger) -> None:
    door = Door()
    async with writing(memory) as writer:
        (first,) = await started(writer.run(door.hold))
        assert await asyncio.to_thread(door.entered.wait, 20)
        others = await started(*(writer.run(door.count) for _ in range(10 * MOST_JOBS)))
        behind: list[int] = []

        async def send() -> Receipt:
            receipt = await writer.record(a_submission(1))
            behind.append(sum(other.done() for other in others))
            return receipt

        (message,) = await started(send())
        door.open.set()
        await asyncio.gather(first, message, *others)

    assert behind[0] <= MOST_JOBS
    assert door.done == 10 * MOST_JOBS


async def test_more_other_writes_than_may_wait_are_refused_at_once(memory: SqlLedger) -> None:
    door = Door()
    async with writing(memory, waiting=3) as writer:
        (first,) = await started(writer.run(door.hold))
        assert await asyncio.to_thread(door.entered.wait, 20)
        waiting = await started(*(writer.run(door.count) for _ in range(3)))

        with pytest.raises(Overloaded):
            await writer.run(door.count)

        door.open.set()
        await asyncio.gather(first, *waiting)
        assert await writer.run(door.count) == 4
