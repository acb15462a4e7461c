"""Several processes: on which core each runs, and when one is started again."""

from __future__ import annotations

import os

import pytest

from gateway.family import cores, next_pause


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
