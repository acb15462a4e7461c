"""Several processes: on which core each runs, and when one is started again."""

from __future__ import annotations

import asyncio
import logging
import os

import pytest

from gateway.errors import Fault
from gateway.family import Child, cores, next_pause

TOO_MUCH = {"GATEWAY_ROLES": "klok", "VEEL": "x" * 8_000_000}
"""An environment that the system lets no process have."""


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="cores cannot be chosen here")
def test_processes_are_spread_over_the_cores_that_this_one_may_use() -> None:
    mine = sorted(os.sched_getaffinity(0))

    assert cores(2 * len(mine) + 1) == [*mine, *mine, mine[0]]


def test_the_pause_grows_to_half_a_minute_and_begins_again_after_a_steady_life() -> None:
    pauses = [0.0]
    for _ in range(7):
        pauses.append(next_pause(pauses[-1], lived=0.1))

    assert pauses[1:] == [1, 2, 4, 8, 16, 30, 30]
    assert next_pause(30, lived=61) == 1


async def test_a_process_that_cannot_be_started_is_told_so_at_first() -> None:
    with pytest.raises(Fault, match="cannot be started"):
        await Child(TOO_MUCH, None).live()


async def test_a_process_that_cannot_be_started_again_is_tried_again_and_ends_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    child = Child(TOO_MUCH, None)
    child.ready.set()

    with caplog.at_level(logging.ERROR):
        living = asyncio.create_task(child.live())
        async with asyncio.timeout(10):
            while "process.ended" not in caplog.messages:
                await asyncio.wait({living}, timeout=0.01)
    tried_again = not living.done()
    living.cancel()

    assert tried_again
