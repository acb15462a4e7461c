"""Each role in a process of its own is killed under load, with and without a broker.

Twenty kills in all, five of each role: twenty of each would take minutes more.
"""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest

from gateway.schemas import Catalogue
from tests.conftest import NewWorld
from tests.fault.conftest import Counts
from tests.fault.gateway_process import GatewayProcess, running
from tests.fault.promises import everything_holds
from tests.fault.town import Town, a_town
from tests.servers.rabbitmq import Broker

KILLS = 20
ROLES = ("ontvangen", "bezorgen", "klok", "houder")
FIRST = 10
MEANWHILE = 30
"""So many are accepted while there is no broker."""


@pytest.fixture
def town(
    new_world: NewWorld, catalogue: Catalogue, tmp_path: Path, postgres_url: str, broker: Broker
) -> Town:
    return a_town(new_world, catalogue, tmp_path, ledger=postgres_url, broker=broker)


@pytest.mark.database
@pytest.mark.broker
@pytest.mark.timeout(600)
async def test_twenty_kills_in_all_five_of_each_role_lose_and_invent_nothing(
    town: Town, counts: Counts
) -> None:
    processes = {role: GatewayProcess(town.world, role) for role in ROLES}

    with running(*processes.values()):
        await asyncio.gather(*(each.until_ready() for each in processes.values()))
        load = town.load(processes["ontvangen"], pause=0.3)
        load.again = True
        rejected = [own for own in load.bodies if own in town.signed.alone][::2]
        async with town.taking(load.doors, rejected=rejected) as taken:
            sending = asyncio.create_task(load.send())
            await load.until(FIRST)
            for role in itertools.islice(itertools.cycle(ROLES), KILLS):
                processes[role].kill()
                await processes[role].restart()
                await load.until_further(FIRST)
            load.again = False
            await asyncio.wait_for(sending, 180)
            held = await everything_holds(town, load, taken)

    counts("kill -9 of each role", kills=KILLS, **held.numbers)


@pytest.mark.database
@pytest.mark.broker
@pytest.mark.timeout(300)
async def test_what_was_accepted_without_a_broker_is_delivered_by_who_was_killed_meanwhile(
    town: Town, broker: Broker, counts: Counts
) -> None:
    door = GatewayProcess(town.world, "ontvangen")
    others = GatewayProcess(town.world, "bezorgen,klok,houder")

    with running(door, others):
        await asyncio.gather(door.until_ready(), others.until_ready())
        load = town.load(door, count=FIRST + MEANWHILE, pause=0.3)
        sending = asyncio.create_task(load.send())
        await load.until(FIRST)
        await asyncio.to_thread(broker.server.kill)
        try:
            await load.until(FIRST + MEANWHILE)
            others.kill()
            await others.restart()
            assert not broker.server.runs
        finally:
            await asyncio.to_thread(broker.server.start)
        await asyncio.wait_for(sending, 60)
        async with town.taking(load.doors) as taken:
            held = await everything_holds(town, load, taken)

    counts("broker down, courier killed meanwhile", **held.numbers)
