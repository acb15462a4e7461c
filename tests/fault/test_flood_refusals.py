"""A flood of messages that nobody signed: counted, not listed, and others are served meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import cycle, islice
from pathlib import Path

import httpx
import pytest

from fixtures.documents import document
from fixtures.parties import Creditor, fresh, now
from fixtures.running import Reach, as_process
from fixtures.world import SE, SHV, STRANGER
from gateway.adapters.refusals import MOST_ENTRIES_PER_MINUTE
from gateway.schemas import Catalogue
from tests.conftest import NewWorld
from tests.e2e.here import NOTICE, a_notice
from tests.fault.conftest import Counts
from tests.fault.flooding import (
    Answers,
    Connection,
    a_post,
    an_xml_post,
    connect,
    flood,
    meanwhile,
    quantile,
    resident,
    rows,
)

GARBAGE = 20_000
GROWTH_MIB = 40
"""What the process may grow during a flood."""

LOG_BYTES = 64 * 1024
"""What a flood may add to the log."""


def signed_notices(shv: Creditor) -> Iterator[bytes]:
    """Fresh good messages without end."""
    while True:
        made = a_notice()
        yield an_xml_post(shv.signed(NOTICE, made))


def garbage(shv: Creditor) -> list[bytes]:
    """What strangers send: each kind of refusal before anybody is verified."""
    made = a_notice()
    signed = shv.signed(NOTICE, made)
    unsigned = document(
        NOTICE, reference=fresh(), conversation=fresh(), sender=SHV, recipient=SE, at=now()
    )
    return [
        an_xml_post(b"geen xml \xff\x00" * 40),
        an_xml_post(shv.catalogue.to_xml(NOTICE, unsigned).tag.encode()),
        an_xml_post(signed.replace(b"Kanarie", b"Ekster")),
        an_xml_post(b"<a>" * 500),
        a_post(b"{}", {"Content-Type": "application/json"}),
        a_post(b"{}", {"Content-Type": "application/json", "Authorization": "Bearer niets"}),
        a_post(b"x", {"Content-Type": "text/plain"}),
        a_post(b"", {"Content-Type": "application/xml"}),
    ]


@pytest.mark.timeout(240)
async def test_twenty_thousand_messages_of_strangers_take_no_room_and_hinder_nobody(
    tmp_path: Path, new_world: NewWorld, catalogue: Catalogue, counts: Counts
) -> None:
    world = new_world(tmp_path / "gateway")
    async with httpx.AsyncClient(timeout=30) as client:
        reach = Reach(world, catalogue, client)
        shv = reach.creditor(SHV)
        honest = cycle(list(islice(signed_notices(shv), 400)))
        with as_process(world) as process:
            await flood(reach.url, [next(honest)] * 50)  # warm: every code path was taken once
            before = resident(process.pid)
            log = world.folder / "gateway.log"
            logged = log.stat().st_size
            began = time.monotonic()
            async with meanwhile(reach.url, honest, 0.05) as served:
                answers = await flood(reach.url, islice(cycle(garbage(shv)), GARBAGE))
            seconds = time.monotonic() - began
            grown = resident(process.pid) - before
            logged = log.stat().st_size - logged

    assert answers.statuses.total() == GARBAGE
    assert {status // 100 for status in answers.statuses} == {4}
    found = rows(world, "SELECT count(*), sum(count) FROM refusal WHERE party IS NULL")
    ((kept, counted),) = found
    assert counted == GARBAGE
    minutes = int(seconds // 60) + 2
    assert kept <= 8 * minutes, "more than one row per minute and code"
    assert set(served.statuses) <= {200, 202}
    assert served.statuses.total() >= 2 * seconds, "two a second, however long the flood lasts"
    assert quantile(served.seconds, 0.99) < 2_000
    assert grown < GROWTH_MIB
    assert logged < LOG_BYTES
    counts(
        "flood of strangers",
        posts=GARBAGE,
        rows=kept,
        per_s=round(GARBAGE / seconds),
        grown_mib=round(grown, 1),
        log_bytes=logged,
        others_served=served.statuses.total(),
        others_p99_ms=quantile(served.seconds, 0.99),
    )


async def test_a_party_whose_messages_are_all_refused_gets_so_many_rows_a_minute(
    tmp_path: Path, new_world: NewWorld, catalogue: Catalogue, counts: Counts
) -> None:
    refused = 1_000
    world = new_world(tmp_path / "gateway")
    async with httpx.AsyncClient(timeout=30) as client:
        reach = Reach(world, catalogue, client)
        shv = reach.creditor(SHV)
        wrong = [
            an_xml_post(shv.signed(NOTICE, a_notice(recipient=STRANGER))),
            an_xml_post(shv.signed(NOTICE, a_notice(sender=SE))),
        ]
        with as_process(world):
            answers = await flood(reach.url, islice(cycle(wrong), refused))

    found: Answers = answers
    assert found.statuses.total() == refused
    assert not {200, 202} & set(found.statuses)
    ((kept, counted),) = rows(world, "SELECT count(*), sum(count) FROM refusal")
    assert counted == refused
    assert kept <= 2 * (MOST_ENTRIES_PER_MINUTE + 2)
    counts("flood of refusals of one party", posts=refused, rows=kept)


async def test_a_flood_of_what_is_no_http_is_no_flood_of_the_log(
    tmp_path: Path, new_world: NewWorld, counts: Counts
) -> None:
    world, times = new_world(tmp_path / "gateway"), 2_000
    with as_process(world) as process:
        url, log = world.settings.url, world.folder / "gateway.log"
        logged, before = log.stat().st_size, resident(process.pid)
        for _ in range(times):
            reader, writer = await connect(url)
            writer.write(b"\x16\x03\x01 geen http Kanarie\r\n\r\n")
            said = await reader.read()
            assert b"Kanarie" not in said
            assert said.startswith(b"HTTP/1.1 400") or not said
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        honest = Connection(url)
        status, _ = await honest.ask(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        await honest.close()
        logged, grown = log.stat().st_size - logged, resident(process.pid) - before

    assert status == 200
    assert logged < LOG_BYTES
    assert grown < GROWTH_MIB
    counts("flood of what is no http", connections=times, log_bytes=logged, grown_mib=grown)
