"""Ten thousand times the same number: one row, and each time the same answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import cycle, islice, pairwise
from pathlib import Path

import httpx
import pytest

from fixtures.parties import fresh
from fixtures.running import Reach, as_process
from fixtures.world import SHV
from gateway.adapters.refusals import MOST_ENTRIES_PER_MINUTE
from gateway.schemas import Catalogue
from tests.conftest import NewWorld
from tests.e2e.here import a_notice
from tests.fault.conftest import Counts
from tests.fault.flooding import Answers, a_json_post, flood, quantile, resident, rows

REPEATS = 10_000
"""By JSON, of which a signature is checked several times as fast as that of XML."""

AT_ONCE = 32
GROWTH_MIB = 100
LEVEL_MIB = 15
"""What half a flood may take where nothing is kept of it: less than 4 KiB of each."""
LEAST_PARTS = 2
MOST_PARTS = 8
"""Caches and the heap have found their size after some thousands more; a leak goes on."""


async def level(
    pid: int, part: Callable[[], Awaitable[Answers]]
) -> tuple[list[Answers], list[float]]:
    """Both halves of a flood, and more such parts as long as the process grows.

    Returns:
        What was answered, and how many MiB it grew, in each.
    """
    answers: list[Answers] = []
    stood = [resident(pid)]
    while len(answers) < LEAST_PARTS or (
        len(answers) < MOST_PARTS and stood[-1] - stood[-2] >= LEVEL_MIB
    ):
        answers.append(await part())
        stood.append(resident(pid))
    return answers, [now - before for before, now in pairwise(stood)]


@pytest.mark.timeout(480)
async def test_ten_thousand_duplicates_are_one_message_and_get_the_first_receipt_byte_for_byte(
    tmp_path: Path, new_world: NewWorld, catalogue: Catalogue, counts: Counts
) -> None:
    world = new_world(tmp_path / "gateway")
    async with httpx.AsyncClient(timeout=30) as client:
        shv = Reach(world, catalogue, client).case_system(SHV)
        with as_process(world) as process:
            post = a_json_post(shv, await shv.authorization(), a_notice())
            url = world.settings.url
            first = await flood(url, [post] * AT_ONCE, connections=AT_ONCE, keep=True)
            before = resident(process.pid)
            in_turn = await flood(url, [post] * (REPEATS // 5), connections=1, keep=True)
            half = [post] * ((REPEATS - REPEATS // 5) // LEAST_PARTS)
            at_once, growth = await level(
                process.pid, lambda: flood(url, half, connections=AT_ONCE, keep=True)
            )
            grown = resident(process.pid) - before

    repeated = sum((each.statuses for each in at_once), in_turn.statuses)
    seconds = sum(sum(each.seconds) for each in at_once)
    assert first.statuses == {202: 1, 200: AT_ONCE - 1}
    assert repeated.keys() == {200}
    assert repeated.total() >= REPEATS
    assert len({body for each in (first, in_turn, *at_once) for body in each.bodies}) == 1
    assert rows(world, "SELECT count(*) FROM message") == [(1,)]
    assert rows(world, "SELECT count(*) FROM delivery") == [(1,)]
    assert rows(world, "SELECT count(*) FROM refusal") == [(0,)]
    assert growth[-1] < LEVEL_MIB, growth
    assert grown < GROWTH_MIB
    counts(
        "duplicates of one id",
        posts=repeated.total() + AT_ONCE,
        messages=1,
        p99_in_turn_ms=quantile(in_turn.seconds, 0.99),
        per_s_at_once=round(len(half) * len(at_once) * AT_ONCE / seconds),
        grown_mib=round(grown, 1),
    )


@pytest.mark.timeout(480)
async def test_ten_thousand_other_contents_under_one_number_are_refused_and_take_no_room(
    tmp_path: Path, new_world: NewWorld, catalogue: Catalogue, counts: Counts
) -> None:
    world, number = new_world(tmp_path / "gateway"), fresh()
    async with httpx.AsyncClient(timeout=30) as client:
        shv = Reach(world, catalogue, client).case_system(SHV)
        with as_process(world) as process:
            token = await shv.authorization()
            made = (a_notice(reference=number) for _ in range(200))
            first, *others = [a_json_post(shv, token, one) for one in made]
            url = world.settings.url
            kept = await flood(url, [first], keep=True)
            await flood(url, others)
            before = resident(process.pid)
            half = list(islice(cycle(others), REPEATS // LEAST_PARTS))
            parts, growth = await level(process.pid, lambda: flood(url, half, connections=AT_ONCE))
            grown = resident(process.pid) - before
            again = await flood(url, [first], keep=True)

    posts, seconds = len(half) * len(parts), [each for part in parts for each in part.seconds]
    assert posts >= REPEATS
    assert kept.statuses == {202: 1}
    assert [part.statuses for part in parts] == [{409: len(half)}] * len(parts)
    assert again.statuses == {200: 1}
    assert again.bodies == kept.bodies
    assert rows(world, "SELECT count(*) FROM message") == [(1,)]
    ((noted, counted),) = rows(world, "SELECT count(*), sum(count) FROM refusal")
    assert counted == posts + len(others)
    minutes = int(sum(seconds) / AT_ONCE / 60) + 2
    assert noted <= (MOST_ENTRIES_PER_MINUTE + 1) * minutes
    assert growth[-1] < LEVEL_MIB, growth
    assert grown < GROWTH_MIB
    counts(
        "other contents under one id",
        posts=posts,
        refusal_rows=noted,
        p99_ms=quantile(seconds, 0.99),
        grown_mib=round(grown, 1),
    )
