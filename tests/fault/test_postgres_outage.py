"""PostgreSQL goes away under load, in every way it can: no answered message is lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from fixtures.parties import now
from gateway import xml
from gateway.adapters.keyring import Keyring
from gateway.adapters.ledger.migrate import migrate
from gateway.adapters.published_keys import verifier
from gateway.adapters.register import directory_of
from gateway.audit import Flaw, Sort
from gateway.evidence import Head
from gateway.exhibits import judge
from gateway.message import Channel
from gateway.schemas import Catalogue
from tests.conftest import NewWorld
from tests.fault.conftest import Counts
from tests.fault.promises import (
    accepted_is_kept,
    dead_letters_are_complete,
    everything_holds,
    first_copies_came_in_order,
    settled,
)
from tests.fault.town import Town, a_town, under_load
from tests.servers.cutting_proxy import CuttingProxy, How
from tests.servers.postgres import Postgres, a_postgres, a_replica, any_of
from tests.servers.rabbitmq import Broker

pytestmark = [pytest.mark.database, pytest.mark.broker, pytest.mark.timeout(400)]

BEFORE = 50
"""So many are answered when the fault comes."""

AFTER = 50
"""So many more are answered before the next."""

CLIENTS = 20
EVICT = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %(name)s
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server that these tests may kill, with fsync and few connections."""
    with a_postgres(durable=True, most_connections=CLIENTS) as made:
        yield made


class NewTown:
    """Lays out a town on a ledger of its own."""

    def __init__(
        self, new_world: NewWorld, catalogue: Catalogue, folder: Path, broker: Broker
    ) -> None:
        self._how = (new_world, catalogue, folder)
        self._broker = broker

    def __call__(self, address: str) -> Town:
        migrate(address)
        return a_town(*self._how, ledger=address, broker=self._broker)


@pytest.fixture
def new_town(new_world: NewWorld, catalogue: Catalogue, tmp_path: Path, broker: Broker) -> NewTown:
    return NewTown(new_world, catalogue, tmp_path, broker)


async def test_a_server_that_goes_and_comes_back_costs_no_message(
    server: Postgres, new_town: NewTown, counts: Counts
) -> None:
    town = new_town(server.url(server.create()))

    async with under_load(town) as scene:
        answered = BEFORE
        for goes in (server.kill, server.crash, server.stop):
            await scene.load.until(answered)
            await asyncio.to_thread(goes)
            await scene.load.until_refused()
            await asyncio.to_thread(server.start)
            answered = len(scene.load.receipts) + AFTER
        await scene.all_sent()
        held = await everything_holds(town, scene.load, scene.taken)

    counts("postgres killed, crashed and restarted", **held.numbers)


async def test_a_server_without_a_free_connection_is_waited_for(
    server: Postgres, new_town: NewTown, counts: Counts
) -> None:
    name = server.create()
    town = new_town(server.url(name))

    async with under_load(town, count=150) as scene:
        await scene.load.until(BEFORE)
        with ExitStack() as others:
            taken = await asyncio.to_thread(crowd_out, server, name, others)
            await scene.load.until_refused()
        await scene.all_sent()
        held = await everything_holds(town, scene.load, scene.taken)

    counts("postgres out of connections", taken_by_others=taken, **held.numbers)


def crowd_out(server: Postgres, name: str, others: ExitStack) -> int:
    """Take every connection of a server, those of the gateway too; how many were taken."""
    mine = others.enter_context(psycopg.connect(server.url(name), autocommit=True))
    taken = 1
    while mine.execute(EVICT, {"name": "schuldhulp-gateway"}).fetchall():
        with contextlib.suppress(psycopg.OperationalError):
            while True:
                others.enter_context(psycopg.connect(server.url(name)))
                taken += 1
    return taken


async def test_a_synchronous_replica_that_takes_over_has_all_that_was_answered(
    new_town: NewTown, counts: Counts
) -> None:
    with a_postgres(durable=False) as primary, a_replica(primary) as replica:
        town = new_town(any_of(primary, replica, name=primary.create()))
        primary.configure("synchronous_standby_names", "*")

        async with under_load(town, count=150) as scene:
            await scene.load.until(BEFORE)
            await asyncio.to_thread(primary.kill)
            await scene.load.until_refused()
            await asyncio.to_thread(replica.promote)
            await scene.all_sent()
            held = await everything_holds(town, scene.load, scene.taken)

    counts("postgres fails over, synchronous", **held.numbers)


def offer_again_what_was_never_confirmed(town: Town) -> None:
    """What the operator does after such a failover: confirmations were lost with the primary."""
    with closing(town.world.ledger()) as ledger:
        directory = directory_of(*ledger.directory())
        for party in directory.parties.values():
            if party.channel is Channel.QUEUE:
                ledger.refill(party.oin, now() - timedelta(hours=1), now())


async def test_what_an_asynchronous_replica_never_got_is_found_by_sending_it_again(
    new_town: NewTown, counts: Counts
) -> None:
    with (
        a_postgres(durable=False) as primary,
        CuttingProxy(primary.port) as link,
        a_replica(primary, through=link.port) as replica,
    ):
        name = primary.create()
        town = new_town(any_of(primary, replica, name=name))

        # what follows in a conversation that was lost is refused until that is sent again
        async with under_load(town, count=150, only_first=True) as scene:
            await scene.load.until(BEFORE)
            link.refusing = True
            link.cut_all(How.RESET)
            await scene.load.until(BEFORE + AFTER)
            await asyncio.to_thread(primary.kill)
            await scene.load.until_refused()
            unreached = set(scene.load.receipts) - kept_by(replica, name)
            await asyncio.to_thread(replica.promote)
            await scene.all_sent()
            again = town.load(scene.process)
            await again.send()
            lost = set(scene.load.receipts) - again.repeated
            await asyncio.to_thread(offer_again_what_was_never_confirmed, town)
            await settled(town, len(again.receipts))

            assert lost
            assert lost == unreached
            accepted_is_kept(town, again)
            first_copies_came_in_order(scene.taken)
            dead_letters_are_complete(town)
            times = Counter(scene.taken.references.values())
            assert set(times) == set(again.bodies)
            twice = {own for own in times if times[own] > 1}
            assert twice <= lost, "a message that the replica had got another delivery id"
            proven = heads_in(town, [scene.load.receipts[own] for own in lost])
            still = heads_in(
                town, [each for own, each in scene.load.receipts.items() if own not in lost]
            )
            flaws = flaws_of(town, {*proven, *still})
            missing = [Flaw(Sort.HEAD_MISSING, f"{each.log}/{each.number}") for each in proven]
            assert set(missing) <= set(flaws), "a receipt does not show that its message is gone"
            others = [each.sort for each in flaws if each not in missing]
            # nothing else; and not even that where the end fell in a commit: a new log begins
            assert others in ([], [Sort.GAP])

    counts(
        "postgres fails over, asynchronous",
        accepted=len(again.receipts),
        delivered=len(times),
        never_reached_the_replica=len(unreached),
        found_by_repeating=len(lost),
        delivered_before_and_after=len(twice),
        repeats=scene.taken.repeats,
        checkpoints_missing_by_receipts=len(missing),
        gaps_in_the_evidence=len(others),
    )


def kept_by(server: Postgres, name: str) -> set[str]:
    """The referentienummers of all messages in a database of this server."""
    with psycopg.connect(server.url(name)) as connection:
        return {own for (own,) in connection.execute("SELECT referentienummer FROM message")}


def heads_in(town: Town, receipts: Iterable[bytes]) -> set[Head]:
    """The checkpoints that these receipts prove to have been there."""
    keyring = Keyring.load(town.world.settings.keys)
    verify = verifier(keyring.signing.published())
    documents = (town.catalogue.to_json(xml.parse(each)) for each in receipts)
    judged = [judge("ontvangstbevestiging", each, verify) for each in documents]
    assert [each.flaws for each in judged if each.flaws] == []
    return {head for each in judged for head in each.heads()}


def flaws_of(town: Town, heads: Iterable[Head]) -> list[Flaw]:
    """What the evidence says of a ledger that lost its last commits to who holds these."""
    with closing(town.world.ledger()) as ledger:
        return ledger.audit(heads=heads)
