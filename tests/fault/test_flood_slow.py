"""Slow-loris: connections that dribble their heads and bodies are let go, and hinder nobody."""

from __future__ import annotations

import asyncio
import time
from itertools import cycle
from pathlib import Path

import httpx
import pytest

from fixtures.running import Reach, as_process
from fixtures.world import SHV
from gateway.adapters.rest_in.listener import HEAD_WITHIN_SECONDS
from gateway.schemas import Catalogue
from tests.conftest import NewWorld
from tests.e2e.here import NOTICE, a_notice
from tests.fault.conftest import Counts
from tests.fault.flooding import an_xml_post, connect, flood, meanwhile, quantile, resident

DRIBBLERS = 500
BODY_WITHIN_SECONDS = 5
SLACK_SECONDS = 8.0
GROWTH_MIB = 60

HEAD = b"POST /v1/berichten HTTP/1.1\r\nHost: gateway\r\n"
BODY = HEAD + b"Content-Type: application/xml\r\nContent-Length: 9000\r\n\r\n<a>"


async def dribble(url: str, beginning: bytes) -> float:
    """One byte every quarter of a second until the gateway ends it; gives after how long."""
    reader, writer = await connect(url)
    began = time.monotonic()
    writer.write(beginning)
    ended = asyncio.create_task(reader.read())
    try:
        while not ended.done():
            writer.write(b"x")
            await asyncio.wait([ended], timeout=0.25)
        await ended
    except OSError:
        pass
    finally:
        writer.transport.abort()
    return time.monotonic() - began


@pytest.mark.timeout(120)
async def test_five_hundred_dribbling_connections_are_let_go_in_time_and_hinder_nobody(
    tmp_path: Path, new_world: NewWorld, catalogue: Catalogue, counts: Counts
) -> None:
    world = new_world(tmp_path / "gateway", body_timeout=str(BODY_WITHIN_SECONDS))
    async with httpx.AsyncClient(timeout=30) as client:
        shv = Reach(world, catalogue, client).creditor(SHV)
        posts = [an_xml_post(shv.signed(NOTICE, a_notice())) for _ in range(100)]
        with as_process(world) as process:
            url = world.settings.url
            await flood(url, posts[:20])
            before = resident(process.pid)
            beginnings = [HEAD, BODY] * (DRIBBLERS // 2)
            async with meanwhile(url, cycle(posts), 0.05) as served:
                lasted = await asyncio.gather(*(dribble(url, one) for one in beginnings))
            grown = resident(process.pid) - before
            after = await flood(url, posts[20:40])

    heads, bodies = lasted[::2], lasted[1::2]
    assert max(heads) < HEAD_WITHIN_SECONDS + SLACK_SECONDS
    assert max(bodies) < BODY_WITHIN_SECONDS + SLACK_SECONDS
    assert set(served.statuses) | set(after.statuses) <= {200, 202}
    assert served.statuses.total() >= 20
    assert quantile(served.seconds, 0.99) < 2_000
    assert grown < GROWTH_MIB
    counts(
        "slow-loris",
        connections=DRIBBLERS,
        longest_head_s=round(max(heads), 1),
        longest_body_s=round(max(bodies), 1),
        others_served=served.statuses.total(),
        others_p99_ms=quantile(served.seconds, 0.99),
        grown_mib=round(grown, 1),
    )
