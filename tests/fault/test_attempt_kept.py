"""PostgreSQL dies after a push failed and before that is written: the attempt is not forgotten."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from fixtures.parties import Creditor
from fixtures.running import Reach, as_process
from fixtures.world import SE, SHV, World, the_usual
from gateway.adapters.courier import Pace
from gateway.adapters.ledger.migrate import migrate
from gateway.delivery import Answer, State
from gateway.schemas import Catalogue
from tests.conftest import NewWorld
from tests.e2e.here import NOTICE, a_notice, reference_of
from tests.fault.conftest import Counts
from tests.fault.pushing import PATIENCE_SECONDS, YES, a_pushed, an_address
from tests.servers.endpoint import Act, Peer, a_peer, says, sends_and_closes
from tests.servers.party import eventually
from tests.servers.postgres import Postgres, a_postgres

pytestmark = [pytest.mark.database, pytest.mark.timeout(240)]

MESSAGES = 3
"""Fewer than what has an endpoint left in peace for half a minute."""

PATIENT = {"wachttijd_seconden": str(4 * PATIENCE_SECONDS)}
"""The endpoint holds its answers while PostgreSQL is killed."""

COMES_WITHIN = 60.0


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server that these tests may kill, with fsync."""
    with a_postgres(durable=True) as made:
        yield made


@dataclass
class Holding:
    """Fails at the first try of each delivery and takes the second, each when it is told to.

    Attributes:
        tries: How often each delivery id came.
        failed: How many of the first tries were answered.
        may_fail: Until this is set, first tries get no answer.
        may_take: Until this is set, later ones get none.
    """

    fault: Act
    peer: Peer | None = None
    tries: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    may_fail: asyncio.Event = field(default_factory=asyncio.Event)
    may_take: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, writer: asyncio.StreamWriter) -> None:
        """Answer the request that was just heard."""
        assert self.peer is not None
        own = self.peer.heard[-1][1]["Aflever-Id"]
        self.tries[own] += 1
        is_first = self.tries[own] == 1
        await (self.may_fail if is_first else self.may_take).wait()
        await (self.fault if is_first else YES)(writer)
        self.failed += is_first

    async def until(self, tries: int) -> None:
        """Wait until so many deliveries came so often."""
        await eventually(
            lambda: sorted(self.tries.values()) == [tries] * MESSAGES,
            f"each was tried {tries} times",
            within=COMES_WITHIN,
        )


@dataclass(frozen=True)
class Scene:
    """A prepared gateway on a PostgreSQL that may die, and an endpoint that holds its answers."""

    server: Postgres
    world: World
    shv: Creditor
    endpoint: Holding

    async def send(self) -> list[str]:
        """Have the messages accepted; gives their referentienummers."""
        made = [a_notice() for _ in range(MESSAGES)]
        for each in made:
            assert (await self.shv.send(NOTICE, each)).status_code == httpx.codes.ACCEPTED
        return [reference_of(each) for each in made]

    async def fail_without_a_ledger(self) -> None:
        """Each push fails while there is no PostgreSQL; returns when that could not be written."""
        await self.endpoint.until(1)
        await asyncio.to_thread(self.server.kill)
        self.endpoint.may_fail.set()
        await eventually(lambda: self.endpoint.failed == MESSAGES, "all failed")
        log = self.world.folder / "gateway.log"
        said = log.stat().st_size
        await eventually(
            lambda: b"courier.fault" in log.read_bytes()[said:],
            "the courier could not write",
            within=COMES_WITHIN,
        )

    def attempts(self, references: Sequence[str]) -> list[list[tuple[str, str, str]]]:
        """Delivery id, number and answer of each attempt in the log, by message."""
        with closing(self.world.ledger()) as ledger:
            ways = [list(ledger.way(SHV, each)) for each in references]
        told = [
            [
                dict(pair.split("=", 1) for pair in str(step["detail"]).split())
                for step in way
                if step["stap"] == "poging"
            ]
            for way in ways
        ]
        return [[(e["afleverId"], e["nummer"], e["antwoord"]) for e in each] for each in told]

    def standing(self) -> dict[str, int]:
        """How many deliveries stand where."""
        with closing(self.world.ledger()) as ledger:
            states = ledger.overview()["parties"][SE]
        return {state: count for state, count in states.items() if count}

    async def all_confirmed(self) -> None:
        """Let the endpoint say yes, and wait until that is known; the evidence must verify."""
        self.endpoint.may_take.set()
        await eventually(
            lambda: self.standing() == {State.BEVESTIGD: MESSAGES},
            "all are confirmed",
            within=COMES_WITHIN,
        )
        with closing(self.world.ledger()) as ledger:
            assert ledger.audit() == []


def a_world(
    folder: Path, new_world: NewWorld, server: Postgres, port: int, **settings: str
) -> World:
    """A gateway on a database of its own that pushes to SE on this port."""
    address = server.url(server.create())
    migrate(address)
    creditor = a_pushed(SE, "Energie Voorbeeld B.V.", "schuldeiser", an_address(port), **PATIENT)
    return new_world(folder, the_usual(se=creditor), ledger=address, **settings)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(says(500), id="says 500"),
        pytest.param(sends_and_closes(b""), id="hangs up"),
    ],
)
async def test_an_attempt_that_failed_while_there_was_no_ledger_is_written_when_it_is_back(
    server: Postgres,
    new_world: NewWorld,
    catalogue: Catalogue,
    tmp_path: Path,
    counts: Counts,
    *,
    fault: Act,
) -> None:
    endpoint = Holding(fault)
    async with a_peer(endpoint) as peer, httpx.AsyncClient(timeout=30) as client:
        endpoint.peer = peer
        world = a_world(tmp_path / "gateway", new_world, server, peer.port)
        with as_process(world):
            shv = Reach(world, catalogue, client).creditor(SHV)
            scene = Scene(server, world, shv, endpoint)
            sent = await scene.send()

            await scene.fail_without_a_ledger()
            await asyncio.to_thread(server.start)
            await endpoint.until(2)

            logged = scene.attempts(sent)
            standing = scene.standing()
            await scene.all_confirmed()
            in_the_end = scene.attempts(sent)

    ids = [own for ((own, _, _),) in logged]
    assert set(ids) == set(endpoint.tries), "tried again under another id"
    assert logged == [[(own, "1", Answer.UNAVAILABLE)] for own in ids]
    assert standing == {State.WACHT: MESSAGES}, "confirmed before anybody took it"
    assert in_the_end == [
        [(own, "1", Answer.UNAVAILABLE), (own, "2", Answer.CONFIRMED)] for own in ids
    ]
    counts(
        "postgres killed after a failed push",
        messages=MESSAGES,
        attempts_logged=2 * MESSAGES,
        attempts_made=endpoint.tries.total(),
    )


async def test_an_attempt_that_died_with_ledger_and_gateway_is_made_again_under_the_next_number(
    server: Postgres, new_world: NewWorld, catalogue: Catalogue, tmp_path: Path, counts: Counts
) -> None:
    endpoint = Holding(says(500))
    async with a_peer(endpoint) as peer, httpx.AsyncClient(timeout=30) as client:
        endpoint.peer = peer
        world = a_world(
            tmp_path / "gateway",
            new_world,
            server,
            peer.port,
            clock_ahead=str(tmp_path / "voor"),
        )
        with as_process(world) as process:
            shv = Reach(world, catalogue, client).creditor(SHV)
            scene = Scene(server, world, shv, endpoint)
            sent = await scene.send()
            await scene.fail_without_a_ledger()
            process.kill()
            process.wait(30)
        await asyncio.to_thread(server.start)
        forgotten = scene.attempts(sent)
        between = scene.standing()
        world.ahead.set(world.ahead.now() + Pace().lease + timedelta(seconds=1))
        with as_process(world):
            await endpoint.until(2)
            standing = scene.standing()
            await scene.all_confirmed()
            in_the_end = scene.attempts(sent)

    assert forgotten == [[]] * MESSAGES, "it was written all the same"
    assert between == standing == {State.WACHT: MESSAGES}, "confirmed before anybody took it"
    ids = [own for ((own, _, _),) in in_the_end]
    assert set(ids) == set(endpoint.tries), "tried again under another id"
    assert in_the_end == [[(own, "2", Answer.CONFIRMED)] for own in ids]
    counts(
        "postgres and gateway killed after a failed push",
        messages=MESSAGES,
        attempts_logged=MESSAGES,
        attempts_made=endpoint.tries.total(),
        under_another_id=len(set(endpoint.tries) - set(ids)),
    )
