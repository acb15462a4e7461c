"""A running gateway lets go what was kept long enough, and an operator can see it coming."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest_asyncio
import sqlalchemy as sa

from fixtures.world import SE, World
from gateway.adapters.ledger.tables import delivery, message
from tests.e2e.here import a_notice, started
from tests.e2e.operator import operator, operator_json
from tests.e2e.test_restore import accepted, kept, waiting
from tests.servers.party import eventually

LONG_AGO = datetime.now(UTC) - timedelta(days=40)
GOES = [{"wat": "inhoud", "soort": "KennisgevingPubliek", "aantal": 1}]


@pytest_asyncio.fixture
async def confirmed_long_ago(world: World) -> World:
    """One message that was confirmed, and one that was not, both of forty days ago."""
    async with started(world) as here:
        reader = here.party(SE)
        await accepted(here, here.written(a_notice()))
        await reader.confirm(*(await waiting(reader)).values())
        await accepted(here, here.written(a_notice()))
    ledger = world.ledger()
    with ledger._database.writing() as connection:
        connection.execute(sa.update(message).values(recorded_at=LONG_AGO))
        there = delivery.c.confirmed_at.is_not(None)
        connection.execute(sa.update(delivery).where(there).values(confirmed_at=LONG_AGO))
    ledger.close()
    return world


def erased(world: World) -> int:
    return int(kept(world, "SELECT count(*) FROM message WHERE wrapped_key IS NULL")[0][0])


async def test_what_would_be_erased_is_shown_and_then_erased(confirmed_long_ago: World) -> None:
    world = confirmed_long_ago

    assert operator_json(world, "bewaring", "--proef") == GOES
    assert "Uitvoeren: gateway bewaring" in operator(world, "bewaring", "--proef")
    assert erased(world) == 0
    assert operator_json(world, "bewaring") == GOES
    assert operator_json(world, "bewaring") == []
    assert erased(world) == 1


async def test_a_running_gateway_does_it_by_itself(confirmed_long_ago: World) -> None:
    world = confirmed_long_ago

    async def gone() -> bool:
        return erased(world) == 1

    async with started(world) as here:
        await eventually(gone, "the content is erased")
        (left,) = await here.party(SE).collect()
        assert "Kanarie" in left["xml"]
