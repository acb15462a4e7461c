"""One process in all roles on an SQLite ledger is killed under load, time and again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.schemas import Catalogue
from tests.conftest import NewWorld
from tests.fault.conftest import Counts
from tests.fault.forking import ForkedGateway
from tests.fault.gateway_process import GatewayProcess, running
from tests.fault.load import Load
from tests.fault.promises import everything_holds
from tests.fault.town import ALL_SENT_WITHIN, a_town

KILLS = 20
FURTHER = 5
"""So many new ones are accepted before each kill."""
PAUSE = 0.1
"""Seconds between two messages of a sender, so that there is load at the last kill too."""


@pytest.mark.timeout(240)
async def test_twenty_kills_of_the_one_process_on_sqlite_lose_and_invent_nothing(
    new_world: NewWorld, catalogue: Catalogue, tmp_path: Path, counts: Counts
) -> None:
    town = a_town(new_world, catalogue, tmp_path / "gateway")
    process = ForkedGateway(town.world)

    with running(process):
        await process.until_ready()
        load = town.load(process, pause=PAUSE)
        async with town.taking(load.doors) as taken:
            sending = asyncio.create_task(load.send())
            answered = [await killed(process, load) for _ in range(KILLS)]
            load.pause = 0
            await asyncio.wait_for(sending, ALL_SENT_WITHIN)
            held = await everything_holds(town, load, taken)

    assert answered[-1] < len(load.bodies), "it was not killed under load"
    known = len(load.repeated)
    counts("kill -9 on sqlite", kills=len(answered), kept_unanswered=known, **held.numbers)


async def killed(process: GatewayProcess, load: Load) -> int:
    """Kill it as soon as it took some more, and start it again; how many it had answered."""
    await load.until(len(load.receipts) + FURTHER)
    process.kill()
    answered = len(load.receipts)
    await process.restart()
    return answered
