"""The largest bodies, many at once: memory stays within its bound, and good ones are taken."""

from __future__ import annotations

import base64
import hashlib
import os
from collections import Counter
from contextlib import closing
from itertools import cycle, islice
from pathlib import Path

import httpx
import pytest

from fixtures.parties import Creditor, fresh
from fixtures.running import Reach, as_process
from fixtures.world import SHV
from gateway.adapters.rest_in.body import LARGEST_TOTAL_BYTES
from gateway.schemas import Catalogue
from gateway.settings import Settings
from tests.conftest import NewWorld
from tests.e2e.here import NOTICE, a_notice
from tests.fault.conftest import Counts
from tests.fault.flooding import MIB, an_xml_post, flood, resident, rows

LARGEST = Settings().largest_body
AT_ONCE = 2 * LARGEST_TOTAL_BYTES // LARGEST
"""Twice what is set aside: who keeps them all takes half a GiB too much."""
ROUNDS = 2
"""What one flood leaves behind must not add to the next."""
BOUND_MIB = LARGEST_TOTAL_BYTES / MIB + 400
"""All bodies under way together, 160 of the process itself, and five times the largest body in
each of the six threads that examine them."""


def deep(size: int) -> bytes:
    """Elements without end inside each other."""
    return (b"<a>" * (size // 3))[:size]


def many(size: int) -> bytes:
    """As many elements as fit."""
    return b"<a>" + b"<b/>" * ((size - 7) // 4) + b"</a>"


def long_text(size: int) -> bytes:
    """One element that holds it all."""
    return b"<a>" + b"x" * (size - 7) + b"</a>"


@pytest.mark.timeout(300)
async def test_the_largest_bodies_of_strangers_at_once_take_no_more_memory_than_is_set_aside(
    tmp_path: Path, new_world: NewWorld, counts: Counts
) -> None:
    world = new_world(tmp_path / "gateway", body_timeout="250")
    posts = [an_xml_post(make(LARGEST)) for make in (deep, many, long_text)]
    with as_process(world) as process:
        before = resident(process.pid)
        statuses: Counter[int] = Counter()
        for _ in range(ROUNDS):
            # on a busy machine the time for a head may pass before the gateway looks at it
            answers = await flood(
                world.settings.url, islice(cycle(posts), AT_ONCE), connections=AT_ONCE, again=True
            )
            statuses += answers.statuses
        peak = resident(process.pid, peak=True)
        small = await flood(world.settings.url, [an_xml_post(b"<a/>")])

    counts(
        "largest bodies of strangers",
        at_once=AT_ONCE,
        rounds=ROUNDS,
        refused=statuses[400],
        told_to_wait=statuses[503],
        before_mib=round(before),
        peak_mib=round(peak),
    )
    assert statuses.total() == ROUNDS * AT_ONCE
    assert set(statuses) == {400, 503}
    assert small.statuses == {400: 1}
    assert peak < BOUND_MIB
    assert rows(world, "SELECT count(*) FROM message") == [(0,)]
    with closing(world.ledger()) as ledger:
        assert ledger.audit() == []


def with_attachments(shv: Creditor, count: int, size: int) -> bytes:
    """A signed message that carries so many attachments of so many random bytes."""
    bijlagen = []
    for number in range(count):
        content = b"%PDF-1.7 " + os.urandom(size)
        bijlagen.append(
            {
                "soort": "ONDERBOUWING",
                "mime": "application/pdf",
                "bestandsnaam": f"bijlage-{number}.pdf",
                "sha256": hashlib.sha256(content).hexdigest(),
                "inhoud": base64.b64encode(content).decode(),
            }
        )
    return shv.signed(NOTICE, a_notice(reference=fresh(), head={"bijlagen": bijlagen}))


@pytest.mark.timeout(120)
async def test_large_messages_with_attachments_at_once_are_all_taken_within_bounds(
    tmp_path: Path, new_world: NewWorld, catalogue: Catalogue, counts: Counts
) -> None:
    world = new_world(tmp_path / "gateway")
    async with httpx.AsyncClient(timeout=60) as client:
        shv = Reach(world, catalogue, client).creditor(SHV)
        posts = [an_xml_post(with_attachments(shv, 10, 450_000)) for _ in range(8)]
        with as_process(world) as process:
            answers = await flood(world.settings.url, posts, connections=len(posts))
            peak = resident(process.pid, peak=True)

    assert answers.statuses == {202: len(posts)}
    assert peak < BOUND_MIB
    assert rows(world, "SELECT count(*) FROM message") == [(len(posts),)]
    with closing(world.ledger()) as ledger:
        assert ledger.audit() == []
    counts(
        "large messages with attachments",
        accepted=len(posts),
        each_mib=round(len(posts[0]) / MIB, 1),
        peak_mib=round(peak),
    )
