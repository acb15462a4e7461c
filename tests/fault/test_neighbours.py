"""One slow or dead party does not slow the others: how long a healthy party waits, measured."""

from __future__ import annotations

import asyncio
import re
import subprocess
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import httpx
import pytest

from fixtures.parties import Creditor, fresh
from fixtures.running import Reach, as_process
from fixtures.world import PUBLIEKE_SE, SE, SHV, STRANGER, Entry, World, free_port, the_usual
from gateway.adapters.courier import Pace
from gateway.message import Oin
from gateway.schemas import Catalogue
from tests.conftest import NewWorld
from tests.e2e.here import NOTICE, a_notice
from tests.fault.conftest import Counts
from tests.fault.flooding import Connection, an_xml_post, quantile, resident
from tests.fault.pushing import YES, a_pushed, an_address
from tests.servers.endpoint import Act, Peer, a_peer, sends_and_hangs
from tests.servers.party import eventually

SAMPLES = 120
PARTS = 5
EVERY_SECONDS = 0.05
ROUNDS = 4
"""A neighbour that slows others does so in each; what a busy machine does in some is no trend."""
GRAIN_MS = 30.0
"""What a busy machine adds to any p99; a healthy party that waits less is not slowed."""

NEIGHBOURS = (SE, PUBLIEKE_SE)
PATIENCE_SECONDS = 10.0
MORE_MIB = 40
"""What it may take to keep hundreds of messages for who does not take them."""

UUID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


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
class Place:
    """A gateway with a healthy party and two neighbours of it.

    Attributes:
        grown_mib: How much memory it took more after all was sent.
        left: When each message of ours left for it, by referentienummer.
        accepted: Seconds until each receipt.
    """

    world: World
    process: subprocess.Popen[bytes]
    healthy: Clocked
    ours: Connection
    theirs: Connection
    grown_mib: float = 0.0
    left: dict[str, float] = field(default_factory=dict)
    accepted: list[float] = field(default_factory=list)

    async def post(self, number: str, post: bytes) -> None:
        """Send one to the healthy party, and note how long it takes."""
        self.left[number] = time.monotonic()
        status, _ = await self.ours.ask(post)
        assert status == 202
        self.accepted.append(time.monotonic() - self.left[number])

    async def post_beside(self, at_first: Sequence[bytes], asides: Sequence[bytes]) -> None:
        """Send the former at once, and the latter to the neighbours at an even pace."""
        for post in at_first:
            status, _ = await self.theirs.ask(post)
            assert status == 202
        for start in range(0, len(asides), len(NEIGHBOURS)):
            for post in asides[start : start + len(NEIGHBOURS)]:
                status, _ = await self.theirs.ask(post)
                assert status == 202
            await asyncio.sleep(EVERY_SECONDS)

    def begin(self) -> None:
        """Forget what was noted."""
        self.left.clear()
        self.accepted.clear()

    def waited(self) -> dict[tuple[str, int], float]:
        """What the healthy party typically waits, in ms, by what for and percentile."""
        delivered = [self.healthy.came[number] - left for number, left in self.left.items()]
        return {
            (what, share): typical(seconds, share / 100)
            for what, seconds in (("accepted", self.accepted), ("delivered", delivered))
            for share in (50, 99)
        }

    def confirmed(self, oin: Oin) -> int:
        """How many messages this party took."""
        with closing(self.world.ledger()) as ledger:
            return int(ledger.overview()["parties"][oin].get("bevestigd", 0))


@asynccontextmanager
async def a_place(
    folder: Path, new_world: NewWorld, act: Act | None = None
) -> AsyncIterator[Place]:
    """That gateway.

    Args:
        act: How one neighbour acts while the other is dead; without it nothing is pushed to them.
    """
    healthy = Clocked()
    async with a_peer(act or YES) as first, a_peer(healthy) as third:
        healthy.peer = third
        world = new_world(folder, parties(third.port, first.port if act else None))
        url = world.settings.url
        with as_process(world) as process:
            place = Place(world, process, healthy, Connection(url), Connection(url))
            before = resident(process.pid)
            yield place
            place.grown_mib = round(resident(process.pid) - before, 1)
            await place.ours.close()
            await place.theirs.close()


async def slowly(writer: asyncio.StreamWriter) -> None:
    """A yes after half of the time that there is: the rest is for a busy machine."""
    await asyncio.sleep(0.5 * PATIENCE_SECONDS)
    await YES(writer)


async def side_by_side(shv: Creditor, places: Sequence[Place]) -> None:
    """The same at each place: a message to the healthy party, and one to each neighbour.

    For one of these there is more than could be under way at once, from the beginning. What else
    the machine does slows all of them alike.
    """
    numbers = [fresh() for _ in range(SAMPLES)]
    posts = [
        an_xml_post(shv.signed(NOTICE, a_notice(recipient=STRANGER, reference=n))) for n in numbers
    ]
    asides = [
        an_xml_post(shv.signed(NOTICE, a_notice(recipient=oin)))
        for _ in numbers
        for oin in NEIGHBOURS
    ]
    many = Pace().slots + Pace().per_party
    at_first = [an_xml_post(shv.signed(NOTICE, a_notice(recipient=SE))) for _ in range(many)]
    await in_turn(places, dict(zip(numbers, posts, strict=True)), at_first, asides)


async def in_turn(
    places: Sequence[Place],
    posts: Mapping[str, bytes],
    at_first: Sequence[bytes],
    asides: Sequence[bytes],
) -> None:
    """Post the same at each place until the healthy party has it all.

    Args:
        posts: To the healthy party, by number.
        at_first: To its neighbours, from the beginning.
        asides: To them, meanwhile.
    """
    async with asyncio.TaskGroup() as group:
        for place in places:
            place.begin()
            group.create_task(place.post_beside(at_first, asides))
        for at, (number, post) in enumerate(posts.items()):
            turn = at % len(places)
            for place in (*places[turn:], *places[:turn]):
                await place.post(number, post)
            await asyncio.sleep(EVERY_SECONDS)
    for place in places:
        await place.healthy.until(list(posts))


def typical(seconds: Sequence[float], share: float) -> float:
    """The median of what a quantile is in each part of the time, in ms: one hiccup is no trend."""
    size = len(seconds) // PARTS
    parts = [seconds[size * each : size * (each + 1)] for each in range(PARTS)]
    return median(quantile(part, share) for part in parts)


def slower(alone: Place, ill: Place) -> list[str]:
    """In what the healthy party waits more than twice as long at the latter."""
    beside = ill.waited()
    return [
        f"{what}_{share}: {beside[what, share]:.0f} ms, {waited:.0f} without"
        for (what, share), waited in alone.waited().items()
        if beside[what, share] > 2 * max(waited, GRAIN_MS)
    ]


@pytest.mark.timeout(480)
async def test_silent_dead_and_slow_neighbours_at_most_double_what_a_healthy_party_waits(
    tmp_path: Path, new_world: NewWorld, catalogue: Catalogue, counts: Counts
) -> None:
    silence = sends_and_hangs(b"")
    async with (
        a_place(tmp_path / "alone", new_world) as alone,
        a_place(tmp_path / "silent", new_world, silence) as silent,
        a_place(tmp_path / "slow", new_world, slowly) as slow,
        httpx.AsyncClient() as client,
    ):
        shv = Reach(alone.world, catalogue, client).creditor(SHV)
        for _ in range(ROUNDS):
            await side_by_side(shv, (alone, silent, slow))
            if not slower(alone, silent) + slower(alone, slow):
                break
        await eventually(
            lambda: slow.confirmed(SE) >= Pace().per_party, "it does answer in time", within=60
        )

    assert silent.confirmed(SE) == silent.confirmed(PUBLIEKE_SE) == 0
    for name, ill in (("a silent and a dead neighbour", silent), ("a slow and a dead one", slow)):
        figures = {
            f"{what}_{share}_{when}_ms": round(waited, 1)
            for when, place in (("without", alone), ("with", ill))
            for (what, share), waited in place.waited().items()
        }
        grown = {"grown_mib_without": alone.grown_mib, "grown_mib_with": ill.grown_mib}
        counts(name, samples=SAMPLES, **figures, **grown)
        assert slower(alone, ill) == [], name
        assert ill.grown_mib < alone.grown_mib + MORE_MIB, name


def parties(healthy: int, slow: int | None) -> list[Entry]:
    """A healthy party on this port, and two neighbours: one on that port, and one that is dead.

    Args:
        slow: None where both have a postbus.
    """
    third = a_pushed(STRANGER, "Zorg Voorbeeld", "schuldeiser", an_address(healthy))
    if slow is None:
        return the_usual(third=third)
    patience = {"wachttijd_seconden": str(PATIENCE_SECONDS)}
    se, dead = an_address(slow), an_address(free_port())
    return the_usual(
        third=third,
        se=a_pushed(SE, "Energie Voorbeeld B.V.", "schuldeiser", se, **patience),
        publieke_se=a_pushed(PUBLIEKE_SE, "Rijk Voorbeeld", "schuldeiser", dead, **patience),
    )
