"""One slow or dead party does not slow the others: how long a healthy party waits, measured."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from fixtures.parties import Creditor, fresh
from fixtures.running import Reach, as_process
from fixtures.world import PUBLIEKE_SE, SE, SHV, STRANGER, Entry, the_usual
from gateway.message import Oin
from gateway.schemas import Catalogue
from tests.conftest import NewWorld
from tests.e2e.here import NOTICE, a_notice
from tests.fault.conftest import Counts
from tests.fault.flooding import Connection, an_xml_post, quantile
from tests.fault.pushing import YES, a_pushed
from tests.servers.endpoint import Act, Peer, a_peer, sends_and_hangs

SAMPLES = 200
EVERY_SECONDS = 0.03
GRAIN_MS = 100.0
"""What a busy machine adds to any p99; a healthy party that waits less is not slowed."""

UUID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass
class Switch:
    """An endpoint whose manners can change while it runs."""

    act: Act = YES

    async def __call__(self, writer: asyncio.StreamWriter) -> None:
        """Answer as it is set now."""
        await self.act(writer)


@dataclass
class Clocked:
    """A healthy endpoint that notes when each message came."""

    peer: Peer | None = None
    came: dict[str, float] = field(default_factory=dict)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, writer: asyncio.StreamWriter) -> None:
        """Take it."""
        assert self.peer is not None
        for own in UUID.findall(self.peer.heard[-1][2]):
            self.came.setdefault(own.decode(), time.monotonic())
        self.news.set()
        await YES(writer)

    async def until(self, numbers: Sequence[str], within: float = 60) -> None:
        """Wait until all of these came."""
        async with asyncio.timeout(within):
            while not self.came.keys() >= set(numbers):
                self.news.clear()
                await self.news.wait()


@dataclass
class Measured:
    """Seconds from a message's leaving to its receipt, and to its arrival."""

    accepted: list[float]
    delivered: list[float]


async def a_phase(url: str, shv: Creditor, healthy: Clocked, neighbours: Sequence[Oin]) -> Measured:
    """A message to the healthy party and one to each neighbour, at an even pace."""
    numbers = [fresh() for _ in range(SAMPLES)]
    posts = [
        an_xml_post(shv.signed(NOTICE, a_notice(recipient=STRANGER, reference=n))) for n in numbers
    ]
    asides = [
        [an_xml_post(shv.signed(NOTICE, a_notice(recipient=oin))) for oin in neighbours]
        for _ in numbers
    ]
    ours, theirs = Connection(url), Connection(url)
    left: dict[str, float] = {}
    accepted = []

    async def send_asides() -> None:
        for some in asides:
            for post in some:
                status, _ = await theirs.ask(post)
                assert status == 202
            await asyncio.sleep(EVERY_SECONDS)

    beside = asyncio.create_task(send_asides())
    for number, post in zip(numbers, posts, strict=True):
        left[number] = time.monotonic()
        status, _ = await ours.ask(post)
        assert status == 202
        accepted.append(time.monotonic() - left[number])
        await asyncio.sleep(EVERY_SECONDS)
    await beside
    await healthy.until(numbers)
    await ours.close()
    await theirs.close()
    return Measured(accepted, [healthy.came[one] - left[one] for one in numbers])


@pytest.mark.timeout(240)
async def test_a_silent_and_a_dead_neighbour_at_most_double_what_a_healthy_party_waits(
    tmp_path: Path, new_world: NewWorld, catalogue: Catalogue, counts: Counts
) -> None:
    slow, healthy = Switch(), Clocked()
    stack = contextlib.AsyncExitStack()
    async with stack, a_peer(slow) as se, a_peer(healthy) as third:
        healthy.peer = third
        dying = a_peer(YES)
        dead = await dying.__aenter__()
        world = new_world(tmp_path / "gateway", parties(se.port, third.port, dead.port))
        client = await stack.enter_async_context(httpx.AsyncClient(timeout=30))
        shv = Reach(world, catalogue, client).creditor(SHV)
        with as_process(world):
            url = world.settings.url
            well = await a_phase(url, shv, healthy, (SE, PUBLIEKE_SE))
            slow.act = sends_and_hangs(b"")
            await dying.__aexit__(None, None, None)
            ill = await a_phase(url, shv, healthy, (SE, PUBLIEKE_SE))

    figures = {
        f"{what}_{share}_{when}_ms": quantile(getattr(measured, what), share / 100)
        for what in ("accepted", "delivered")
        for share in (50, 99)
        for when, measured in (("without", well), ("with", ill))
    }
    counts("a silent and a dead neighbour", samples=2 * SAMPLES, **figures)
    for what in ("accepted", "delivered"):
        without, beside = figures[f"{what}_99_without_ms"], figures[f"{what}_99_with_ms"]
        assert beside <= 2 * max(without, GRAIN_MS), what


def parties(slow: int, healthy: int, dead: int) -> list[Entry]:
    """Three parties with an endpoint on these ports."""
    address = "http://127.0.0.1:{}/in"
    return the_usual(
        third=a_pushed(STRANGER, "Zorg Voorbeeld", "schuldeiser", address.format(healthy)),
        se=a_pushed(SE, "Energie Voorbeeld B.V.", "schuldeiser", address.format(slow)),
        publieke_se=a_pushed(PUBLIEKE_SE, "Rijk Voorbeeld", "schuldeiser", address.format(dead)),
    )
