"""Ten thousand times the same number: one row, and each time the same answer."""

from __future__ import annotations

from itertools import cycle, islice
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
from tests.fault.flooding import a_json_post, flood, quantile, resident, rows

REPEATS = 10_000
"""By JSON, of which a signature is checked several times as fast as that of XML."""

AT_ONCE = 32
GROWTH_MIB = 40


@pytest.mark.timeout(240)
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
            at_once = await flood(
                url, [post] * (REPEATS - REPEATS // 5), connections=AT_ONCE, keep=True
            )
            grown = resident(process.pid) - before

    assert first.statuses == {202: 1, 200: AT_ONCE - 1}
    assert in_turn.statuses + at_once.statuses == {200: REPEATS}
    assert len(first.bodies | in_turn.bodies | at_once.bodies) == 1
    assert rows(world, "SELECT count(*) FROM message") == [(1,)]
    assert rows(world, "SELECT count(*) FROM delivery") == [(1,)]
    assert rows(world, "SELECT count(*) FROM refusal") == [(0,)]
    assert grown < GROWTH_MIB
    counts(
        "duplicates of one id",
        posts=REPEATS + AT_ONCE,
        messages=1,
        p99_in_turn_ms=quantile(in_turn.seconds, 0.99),
        per_s_at_once=round(at_once.statuses.total() * AT_ONCE / sum(at_once.seconds)),
        grown_mib=round(grown, 1),
    )


@pytest.mark.timeout(240)
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
            answers = await flood(url, islice(cycle(others), REPEATS), connections=AT_ONCE)
            grown = resident(process.pid) - before
            again = await flood(url, [first], keep=True)

    assert kept.statuses == {202: 1}
    assert answers.statuses == {409: REPEATS}
    assert again.statuses == {200: 1}
    assert again.bodies == kept.bodies
    assert rows(world, "SELECT count(*) FROM message") == [(1,)]
    ((noted, counted),) = rows(world, "SELECT count(*), sum(count) FROM refusal")
    assert counted == REPEATS + len(others)
    minutes = int(sum(answers.seconds) / AT_ONCE / 60) + 2
    assert noted <= (MOST_ENTRIES_PER_MINUTE + 1) * minutes
    assert grown < GROWTH_MIB
    counts(
        "other contents under one id",
        posts=REPEATS,
        refusal_rows=noted,
        p99_ms=quantile(answers.seconds, 0.99),
        grown_mib=round(grown, 1),
    )
