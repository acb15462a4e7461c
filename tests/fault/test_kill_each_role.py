"""Each role in a process of its own is killed under load, twenty times in all."""

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


@pytest.fixture
def town(
    new_world: NewWorld, catalogue: Catalogue, tmp_path: Path, postgres_url: str, broker: Broker
) -> Town:
    return a_town(new_world, catalogue, tmp_path, ledger=postgres_url, broker=broker)


@pytest.mark.database
@pytest.mark.broker
@pytest.mark.timeout(600)
async def test_twenty_kills_of_the_roles_lose_and_invent_nothing(
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
