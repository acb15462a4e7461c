"""Each role in a process of its own is killed under load, with and without a broker."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.schemas import Catalogue
from tests.conftest import NewWorld
from tests.fault.conftest import Counts
from tests.fault.gateway_process import GatewayProcess, running
from tests.fault.load import Load
from tests.fault.promises import everything_holds
from tests.fault.town import Town, a_town
from tests.servers.rabbitmq import Broker

KILLS = 20
"""Of each role."""
ROLES = ("ontvangen", "bezorgen", "klok", "houder")
FIRST = 10
FURTHER = 5
"""So many are accepted, or repeated, before each kill."""
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
async def test_twenty_kills_of_each_role_while_the_others_are_killed_too_lose_and_invent_nothing(
    town: Town, counts: Counts
) -> None:
    processes = {role: GatewayProcess(town.world, role) for role in ROLES}

    with running(*processes.values()):
        await asyncio.gather(*(each.until_ready() for each in processes.values()))
        load = town.load(processes["ontvangen"], pause=0.1)
        load.again = True
        rejected = [own for own in load.bodies if own in town.signed.alone][::2]
        async with town.taking(load.doors, rejected=rejected) as taken:
            sending = asyncio.create_task(load.send())
            await asyncio.gather(*(killed(each, load) for each in processes.values()))
            load.again = False
            await asyncio.wait_for(sending, 180)
            held = await everything_holds(town, load, taken)

    counts("kill -9 of each role", kills=KILLS * len(ROLES), **held.numbers)


async def killed(process: GatewayProcess, load: Load) -> None:
    """Kill it again and again, as soon as it is back and the door took some more."""
    for _ in range(KILLS):
        await load.until_further(FURTHER)
        process.kill()
        await process.restart()


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
