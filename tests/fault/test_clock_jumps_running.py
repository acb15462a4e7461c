"""The clock of a running gateway jumps an hour ahead and back, under load.

What the clock ahead planned is late by as much as that clock was wrong; nothing is lost, doubled
or out of order, and the evidence names the one instant at which the clock went back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from fixtures.running import Reach, as_process
from fixtures.world import MUNICIPALITY, OVERIGE_SHV, SE, SHV, Entry, World, two_way
from gateway.adapters.ledger import tables
from gateway.audit import Flaw, Sort
from gateway.delivery import State
from gateway.schemas import Catalogue
from tests.conformance.delivering import rows
from tests.conftest import NewWorld
from tests.fault.conftest import Counts
from tests.fault.load import Doors, Load
from tests.fault.promises import (
    accepted_is_kept,
    dead_letters_are_complete,
    delivered_is_what_was_sent,
    first_copies_came_in_order,
    settled,
)
from tests.fault.pushing import YES, a_pushed, an_address
from tests.fault.town import ALL_SENT_WITHIN, Taken, a_town
from tests.servers.endpoint import Peer, a_peer, says
from tests.servers.party import eventually

HOUR = timedelta(hours=1)
EACH = 80
"""So many are accepted on each clock, and sending goes on while it jumps."""
HEADSTART = 20
"""So many are accepted last on the clock ahead, while the endpoint says no."""
BEYOND = timedelta(minutes=2)
"""Longer than an endpoint that said no is left in peace."""
NOT_NOW = says(503)


@dataclass
class Endpoint:
    """Takes what is pushed to it while it is open.

    Attributes:
        took: What it said yes to, in order.
    """

    open: bool = True
    peer: Peer | None = None
    took: list[bytes] = field(default_factory=list)

    async def __call__(self, writer: asyncio.StreamWriter) -> None:
        """Answer the request that was just heard."""
        assert self.peer is not None
        if self.open:
            self.took.append(self.peer.heard[-1][2])
        await (YES if self.open else NOT_NOW)(writer)


@pytest.mark.timeout(240)
async def test_a_clock_that_jumps_under_a_running_gateway_makes_late_at_most_and_is_told(
    new_world: NewWorld, catalogue: Catalogue, tmp_path: Path, counts: Counts
) -> None:
    endpoint = Endpoint()
    async with a_peer(endpoint) as peer, httpx.AsyncClient(timeout=30) as client:
        endpoint.peer = peer
        town = a_town(
            with_a_clock(new_world, an_address(peer.port)), catalogue, tmp_path / "gateway"
        )
        noon = tomorrow_at_noon()
        town.world.ahead.set(noon)
        reach = Reach(town.world, catalogue, client)
        with as_process(town.world):
            load = Load(town.signed.some(3 * EACH), Doors([reach.url]))
            async with taking(reach) as taken:
                sending = asyncio.create_task(load.send())
                await load.until(EACH)
                town.world.ahead.set(noon + HOUR)
                await load.until(2 * EACH - HEADSTART)
                endpoint.open = False
                await load.until(2 * EACH)
                await eventually(lambda: planned_after(town.world, noon + HOUR) > 0, "one waits")
                town.world.ahead.set(noon)
                endpoint.open = True
                await asyncio.wait_for(sending, ALL_SENT_WITHIN)
                late = planned_after(town.world, noon + HOUR)
                town.world.ahead.set(noon + HOUR + BEYOND)
                await settled(town, len(load.receipts))

        creditor = reach.creditor(SE)
        for body in endpoint.took:
            taken.take(creditor.believe_xml(body)["aflevering"])
        accepted_is_kept(town, load)
        delivered_is_what_was_sent(load, taken)
        first_copies_came_in_order(taken)
        dead_letters_are_complete(town)
        flaws, set_back = told_of(town.world)

    assert len(set_back) == 1
    assert flaws == set_back
    assert late > 0, "nothing was planned by the clock ahead"
    assert load.failed == {}
    counts(
        "clock jumps under a running gateway",
        accepted=len(load.receipts),
        delivered=len(taken.references),
        lost=len(load.receipts.keys() - set(taken.references.values())),
        repeats=taken.repeats,
        late_by_the_jump=late,
        flaws=len(flaws),
    )


def with_a_clock(new_world: NewWorld, address: str) -> NewWorld:
    """A clock that can be set, and one of the two gets its messages pushed to this address."""
    pushed = a_pushed(OVERIGE_SHV, "Gemeente Voorbeelddam", MUNICIPALITY, address)
    shv = Entry(SHV, "Gemeente Voorbeeldstad", MUNICIPALITY)

    def new(folder: Path, entries: Sequence[Entry] | None = None, **settings: str) -> World:
        parties = two_way(shv=shv, overige_shv=pushed)
        return new_world(folder, parties, clock_ahead=str(folder / "vooruit"), **settings)

    return new


def tomorrow_at_noon() -> datetime:
    """Far from the end of a day, at which evidence is closed by whatever clock there is."""
    return datetime.combine(datetime.now(UTC).date() + timedelta(days=1), time(12), UTC)


@asynccontextmanager
async def taking(reach: Reach) -> AsyncIterator[Taken]:
    """SHV empties its postbus for as long as this lasts."""
    taken = Taken()
    task = asyncio.create_task(empty(reach, taken))
    try:
        yield taken
    finally:
        task.cancel()
        (ended,) = await asyncio.gather(task, return_exceptions=True)
    if isinstance(ended, Exception):
        raise ended


async def empty(reach: Reach, taken: Taken) -> None:
    """Take and confirm what lies ready, time and again, with a new token where one is asked."""
    shv = reach.case_system(SHV)
    while True:
        try:
            items = await shv.collect(wait=1)
            for item in items:
                taken.take(item["aflevering"])
            if items:
                await shv.confirm(*(item["afleverId"] for item in items))
        except httpx.HTTPStatusError as error:
            if error.response.status_code != httpx.codes.UNAUTHORIZED:
                raise
            shv = reach.case_system(SHV)


def planned_after(world: World, instant: datetime) -> int:
    """How many deliveries are lent to nobody, and due only after this instant."""
    query = sa.select(tables.delivery).where(
        tables.delivery.c.state == State.WACHT,
        tables.delivery.c.due_at > instant,
        tables.delivery.c.leased_until.is_(None),
    )
    with closing(world.ledger()) as ledger:
        return len(rows(ledger, query))


def told_of(world: World) -> tuple[list[Flaw], list[Flaw]]:
    """What the evidence says, and what it must: where a log has a checkpoint that goes back."""
    query = sa.select(tables.checkpoint).order_by("log", "number")
    with closing(world.ledger()) as ledger:
        points = rows(ledger, query)
        flaws = ledger.audit()
    set_back = [
        Flaw(Sort.CLOCK, f"{after.log}/{after.number}")
        for before, after in pairwise(points)
        if after.log == before.log and before.at - after.at > HOUR / 2
    ]
    return flaws, set_back
