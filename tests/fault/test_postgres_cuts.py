"""Connections to PostgreSQL are cut at every class of byte boundary, under load."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.schemas import Catalogue
from tests.conftest import NewWorld
from tests.fault.conftest import Counts
from tests.fault.promises import everything_holds
from tests.fault.town import Town, a_town, under_load
from tests.servers.cutting_proxy import CuttingProxy, How, Toward, Where, after
from tests.servers.party import eventually
from tests.servers.postgres import Postgres
from tests.servers.rabbitmq import Broker

pytestmark = [pytest.mark.database, pytest.mark.broker, pytest.mark.timeout(400)]

LENGTH = 5
"""Every message of the protocol begins with its sort and four bytes of length."""


def at(word: bytes, beyond: int = 0) -> Where:
    """Just before this is seen, or so many bytes further."""

    def where(seen: bytes) -> int | None:
        found = seen.find(word)
        return None if found < 0 else min(found + beyond, len(seen))

    return where


ASKED: dict[str, Where] = {
    "before the first byte": after(0),
    "inside a length": after(LENGTH - 2),
    "between length and content": after(LENGTH),
    "inside a statement": after(60),
    "inside the rows": after(6_000),
    "before the commit": at(b"COMMIT"),
    "inside the commit": at(b"COMMIT", 3),
}
ANSWERED: dict[str, Where] = {
    "before the first byte": after(0),
    "inside a length": after(LENGTH - 2),
    "before the answer to an insert": at(b"INSERT 0 "),
    "before the answer to a commit": at(b"COMMIT\0"),  # it happened, and we do not hear so
    "inside the answer to a commit": at(b"COMMIT\0", 4),
}
CUTS = [
    *((Toward.SERVER, name, where) for name, where in ASKED.items()),
    *((Toward.CLIENT, name, where) for name, where in ANSWERED.items()),
]


@pytest.fixture
def proxy(postgres_server: Postgres) -> Iterator[CuttingProxy]:
    with CuttingProxy(postgres_server.port) as made:
        yield made


@pytest.fixture
def address(postgres_url: str, postgres_server: Postgres, proxy: CuttingProxy) -> str:
    """The database of this test, through the proxy."""
    return postgres_url.replace(f":{postgres_server.port}/", f":{proxy.port}/")


@pytest.fixture
def town(
    new_world: NewWorld, catalogue: Catalogue, tmp_path: Path, address: str, broker: Broker
) -> Town:
    return a_town(new_world, catalogue, tmp_path, ledger=address, broker=broker)


async def test_a_cut_at_any_boundary_loses_and_doubles_nothing(
    town: Town, proxy: CuttingProxy, counts: Counts
) -> None:
    async with under_load(town) as scene:
        answered = 0
        for (toward, where_it_is, where), how in itertools.product(CUTS, (How.RESET, How.FINISH)):
            answered = min(answered + 10, len(scene.load.bodies) - 10)
            await scene.load.until(answered)
            cut = proxy.cut(toward, where, how)
            await eventually(cut.fired.is_set, f"cut {where_it_is}", within=30)
        await scene.all_sent()
        held = await everything_holds(town, scene.load, scene.taken)

    counts("postgres connections cut", cuts=2 * len(CUTS), **held.numbers)
