"""``gateway dienst --processen 3``: one command, several processes, and nothing is lost by it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from fixtures.running import ROOT
from fixtures.world import World, free_ports
from gateway.schemas import Catalogue
from tests.conftest import Counts, NewWorld
from tests.fault.gateway_process import STARTS_WITHIN, GatewayProcess, running
from tests.fault.load import Load
from tests.fault.promises import everything_holds
from tests.fault.town import Taken, Town, a_town
from tests.servers.party import eventually
from tests.servers.process import dies_with_us, listens
from tests.servers.rabbitmq import Broker

pytestmark = [pytest.mark.database, pytest.mark.broker, pytest.mark.timeout(400)]

COUNT = 3
MESSAGES = 200
ENDS_WITHIN = 30.0


class Family(GatewayProcess):
    """A parent and its children, which all do the same."""

    def __init__(self, world: World) -> None:
        first = free_ports(COUNT)
        more = {"GATEWAY_PROCESSES": str(COUNT), "GATEWAY_ADMIN_PORT": str(first)}
        super().__init__(world, more=more)
        self.admins = [f"http://127.0.0.1:{port}" for port in range(first, first + COUNT)]
        self.admin = self.admins[0]

    @property
    def environment(self) -> dict[str, str]:
        return self._environment

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def children(self) -> set[int]:
        """Their numbers."""
        found = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return set(map(int, found.split()))

    async def until_all_ready(self) -> None:
        """Return when it says so, and every child does too."""

        async def ready() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, f"it ended:\n{self.said()}"
            return "luistert op" in self.said() and await self.healthy() == COUNT

        await eventually(ready, "all processes are ready", within=STARTS_WITHIN)

    async def healthy(self) -> int:
        """How many children can do their work."""
        count = 0
        async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
            for admin in self.admins:
                with contextlib.suppress(httpx.HTTPError):
                    answer = await client.get(f"{admin}/health/ready")
                    count += answer.status_code == httpx.codes.OK
        return count

    async def kill_child(self) -> None:
        """SIGKILL one; return when there is another in its place, and all are ready."""
        before = self.children()
        victim = min(before)
        os.kill(victim, signal.SIGKILL)

        async def replaced() -> bool:
            now = self.children()
            return victim not in now and len(now) == COUNT and await self.healthy() == COUNT

        await eventually(replaced, "the child is started again", within=STARTS_WITHIN)


def lives(pid: int) -> bool:
    """Whether this process runs; one that nobody asked how it ended does not."""
    with contextlib.suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state not in {"Z", "X"}
    return False


async def until_gone(*pids: int) -> None:
    """Return when none of these runs any more."""
    await eventually(lambda: not any(map(lives, pids)), "all children end", within=ENDS_WITHIN)


@pytest.fixture
def town(
    new_world: NewWorld, catalogue: Catalogue, tmp_path: Path, postgres_url: str, broker: Broker
) -> Town:
    return a_town(new_world, catalogue, tmp_path, ledger=postgres_url, broker=broker)


@asynccontextmanager
async def under_load(
    town: Town, family: Family, counts: Counts, name: str
) -> AsyncIterator[tuple[Load, Taken]]:
    """Messages are sent to this family, and taken; all are answered at the end, and counted."""
    load = town.load(family, count=MESSAGES, pause=0.1)
    async with town.taking(load.doors) as taken:
        sending = asyncio.create_task(load.send())
        yield load, taken
        await asyncio.wait_for(sending, 180)
        held = await everything_holds(town, load, taken)
        assert held.accepted == MESSAGES
    counts(name, **held.numbers)


async def test_a_child_that_is_killed_comes_back_and_nothing_is_lost(
    town: Town, counts: Counts
) -> None:
    family = Family(town.world)

    with running(family):
        await family.until_all_ready()
        assert len(family.children()) == COUNT
        async with under_load(town, family, counts, "children killed") as (load, _):
            await load.until(20)
            await family.kill_child()
            await load.until(60)
            await family.kill_child()
        assert "process.ended" in family.said()


async def test_each_child_stays_on_a_core_of_its_own_as_far_as_there_are(town: Town) -> None:
    family = Family(town.world)

    with running(family):
        await family.until_all_ready()
        allowed = [os.sched_getaffinity(pid) for pid in family.children()]
        turns = {os.sched_getscheduler(pid) for pid in family.children()}

    assert all(len(each) == 1 for each in allowed)
    assert len(set.union(*allowed)) == min(COUNT, len(os.sched_getaffinity(0)))
    assert turns == {os.SCHED_BATCH}


async def test_sigterm_ends_all_in_time_and_what_was_accepted_is_delivered_later(
    town: Town, counts: Counts
) -> None:
    family = Family(town.world)

    with running(family):
        await family.until_all_ready()
        async with under_load(town, family, counts, "family stopped") as (load, _):
            await load.until(40)
            children = list(family.children())
            await family.terminate()
            assert not any(map(lives, children))
            assert not load.failed.keys() - {"ConnectError"}, "who was let in is heard"
            await family.restart()


async def test_children_end_when_their_parent_was_killed(town: Town, counts: Counts) -> None:
    family = Family(town.world)

    with running(family):
        await family.until_all_ready()
        async with under_load(town, family, counts, "parent killed") as (load, _):
            await load.until(40)
            children = list(family.children())
            family.kill()
            await until_gone(*children)
            assert not listens(int(family.url.rpartition(":")[2]))
            await family.restart()


async def test_a_second_start_at_the_same_door_says_why_it_does_not(town: Town) -> None:
    family = Family(town.world)

    with running(family):
        await family.until_all_ready()
        code, said = await failing(family)
        assert await family.healthy() == COUNT

    assert code == 1
    assert said.startswith("gateway: cannot listen on 127.0.0.1:")
    assert said.count("\n") == 1


async def test_what_can_never_start_ends_all_and_says_why_once(town: Town, tmp_path: Path) -> None:
    family = Family(town.world)
    family.environment["GATEWAY_LEDGER"] = f"sqlite:///{tmp_path / 'leeg.db'}"

    code, said = await failing(family)

    assert code == 1
    assert said.count("gateway inrichten") == 1
    assert not listens(int(family.url.rpartition(":")[2]))


async def test_an_admin_port_that_is_taken_is_named_and_no_process_is_left(town: Town) -> None:
    family = Family(town.world)
    last = int(family.admins[-1].rpartition(":")[2])

    with socket.create_server(("127.0.0.1", last)):
        code, said = await failing(family)

    assert code == 1
    assert said.count(f"gateway: cannot listen on 127.0.0.1:{last}") == 1
    assert not any(map(listens, range(last - COUNT + 1, last + 1)))


async def failing(family: Family) -> tuple[int | None, str]:
    """Start a second one with these settings; its exit code, and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(*dies_with_us(), sys.executable, "-m", "gateway", "dienst"),
        cwd=ROOT,
        env=family.environment,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await asyncio.wait_for(process.communicate(), STARTS_WITHIN)
    return process.returncode, said.decode()
