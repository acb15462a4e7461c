"""Fetch and recall at the same instant: exactly one happens, and the evidence says which."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import httpx
import pytest

from fixtures.keyring import a_keyring
from fixtures.world import SE, SHV, World
from gateway.adapters.ledger.ledger import SqlLedger, open_ledger
from gateway.adapters.ledger.migrate import migrate
from gateway.dead_letter import Stranding
from gateway.delivery import Reason, State
from gateway.message import Channel, Json, Submission
from gateway.record import Confirmed
from tests.conformance.conversing import Talking
from tests.conformance.delivering import at_once, lend
from tests.conformance.submissions import NOON
from tests.conftest import NewWorld
from tests.e2e.here import Here, reference_of, started
from tests.e2e.test_recall import fetched, recall_of, sent, told
from tests.e2e.test_restore import accepted, kept, waiting
from tests.fault.conftest import Counts

pytestmark = pytest.mark.timeout(300)

ROUNDS = 60
HTTP_ROUNDS = 40
HEAD_STARTS = 6
"""Looks at the ledger that one of the two takes first, so that each wins now and then."""

NEVER = ("ingetrokken", "nooit-opgehaald")
STOPPED = ("ingetrokken", "niet-meer-aangeboden")

SQLITE = pytest.param("sqlite", id="sqlite")
POSTGRES = pytest.param("postgres", id="postgres", marks=pytest.mark.database)


@pytest.fixture(params=[SQLITE, POSTGRES])
def two(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[SqlLedger, SqlLedger]]:
    """Two processes, as far as the database can tell, with one empty ledger."""
    if request.param == "sqlite":
        address = f"sqlite:///{tmp_path / 'ledger.db'}"
        migrate(address)
    else:
        address = str(request.getfixturevalue("postgres_url"))
    one, other = (open_ledger(address, a_keyring(), clock=lambda: NOON) for _ in range(2))
    yield one, other
    one.close()
    other.close()


@pytest.fixture(params=[SQLITE, POSTGRES])
def somewhere(request: pytest.FixtureRequest, new_world: NewWorld, tmp_path: Path) -> World:
    """A gateway on either ledger, not started."""
    if request.param == "sqlite":
        return new_world(tmp_path / "gateway")
    url = str(request.getfixturevalue("postgres_url"))
    return new_world(tmp_path / "gateway", ledger=url)


def after_looks(ledger: SqlLedger, looks: int, work: Callable[[], object]) -> object:
    """Look at the ledger so often, and then do this."""
    for _ in range(looks):
        ledger.ping()
    return work()


def fetch(talking: Talking, mine: str) -> bool:
    """Read and only then ask, as a door does; whether the content may leave."""
    found = talking.ledger.postbus_item(SE, mine)
    if found is None or not found.canonical:
        return False
    return mine in talking.ledger.collect(SE, [mine], NOON)


def confirm(talking: Talking, mine: str) -> bool:
    return talking.ledger.confirm(SE, [mine], NOON)[mine] is Confirmed.NOW


def lease(talking: Talking, mine: str) -> bool:
    return mine in [each.id for each in lend(talking.ledger)]


Takes = Callable[[Talking, str], bool]

WAYS: dict[str, tuple[Takes, Channel, tuple[str, str | None] | None]] = {
    "collect": (fetch, Channel.POSTBUS, ("opgehaald", None)),
    "confirm": (confirm, Channel.POSTBUS, ("bevestigd", None)),
    "lease": (lease, Channel.PUSH, STOPPED),
}
"""How a recipient, or its channel, takes a message; where that lies; and what is signed then."""


@pytest.mark.parametrize("way", WAYS)
def test_of_taking_and_recalling_at_the_same_instant_exactly_one_happens(
    two: tuple[SqlLedger, SqlLedger], way: str, counts: Counts
) -> None:
    one, other = two
    takes, channel, proof = WAYS[way]
    outcomes: Counter[bool] = Counter()
    for round_ in range(ROUNDS):
        talking = Talking(one, {SE: channel})
        asked = talking.ask()
        mine = talking.id_of(asked)
        recall = talking.made("Intrekking", SHV, SE, change={"ingetrokkenReferentienummer": asked})
        lead = round_ % (2 * HEAD_STARTS) - HEAD_STARTS

        taken, _ = at_once(
            partial(after_looks, one, max(lead, 0), partial(takes, talking, mine)),
            partial(after_looks, other, max(-lead, 0), partial(record, other, talking, recall)),
        )

        never = [each for each in said_to(talking) if each == "NOOIT_OPGEHAALD"]
        assert never == ([] if taken else ["NOOIT_OPGEHAALD"])
        assert talking.content_is_there(asked) is taken
        assert talking.happened(asked) == ([proof] if taken else [NEVER])
        assert fetch(talking, mine) is (taken and channel is Channel.POSTBUS)
        outcomes[bool(taken)] += 1
    assert one.audit() == []
    assert set(outcomes) == {True, False}, "both must have come first now and then"
    counts(f"ophalen en intrekken, {way}", taken=outcomes[True], withdrawn=outcomes[False])


def record(ledger: SqlLedger, talking: Talking, recall: Submission) -> None:
    ledger.record([recall], talking.admit, NOON)


def said_to(talking: Talking) -> list[str]:
    """What the gateway told the helper about the recalls of this conversation."""
    return [
        each["resultaat"]
        for each in talking.in_postbus(SHV)
        if each["stuurgegevens"]["conversatieReferentienummer"] == talking.thread
        and "resultaat" in each
    ]


def test_a_replay_and_a_recall_at_the_same_instant_never_deliver_what_was_withdrawn(
    two: tuple[SqlLedger, SqlLedger], counts: Counts
) -> None:
    one, other = two
    replayed = 0
    for round_ in range(ROUNDS // 2):
        talking = Talking(one, {SE: Channel.PUSH})
        asked = talking.ask()
        with_letter(talking, asked)
        (letter,) = talking.letters(asked)
        recall = talking.made("Intrekking", SHV, SE, change={"ingetrokkenReferentienummer": asked})
        again = partial(one.replay, [letter.id], by="ada", why="proef", at=NOON)
        lead = round_ % (2 * HEAD_STARTS) - HEAD_STARTS

        done, _ = at_once(
            partial(after_looks, one, max(lead, 0), again),
            partial(after_looks, other, max(-lead, 0), partial(record, other, talking, recall)),
        )

        assert talking.delivery(asked).state == State.VERWORPEN
        assert asked not in [each.referentienummer for each in lend(one)]
        assert said_to(talking) == ["NOOIT_OPGEHAALD"]
        replayed += bool(done)
    assert one.audit() == []
    counts("herhalen en intrekken", replayed_first=replayed, rounds=ROUNDS // 2)


def with_letter(talking: Talking, number: str) -> None:
    """Have a message die before any channel had it."""
    letter = Stranding(talking.id_of(number), Reason.ONBESTELBAAR, "proef", NOON)
    talking.ledger.strand([letter])


DOORS = ("lijst", "", "/origineel", "bewijs")


async def test_over_http_either_the_content_or_the_proof_leaves_and_never_both(
    somewhere: World, counts: Counts
) -> None:
    outcomes: Counter[bool] = Counter()
    withdrawn: list[str] = []
    async with started(somewhere) as here:
        reader = here.party(SE)
        await reader.authorization()
        for round_ in range(HTTP_ROUNDS):
            made = await sent(here)
            mine = (await waiting(reader))[reference_of(made)]
            door = DOORS[round_ % len(DOORS)]

            got, _ = await asyncio.gather(
                fetched(reader, door, made, mine), recalled(here, made, round_)
            )

            answers = [each["ingetrokkenReferentienummer"] for each in await told(here)]
            assert (reference_of(made) in answers) is not got, door
            assert (await reader.get(f"/v1/postbus/{mine}")).status_code == (
                httpx.codes.OK if got else httpx.codes.NOT_FOUND
            )
            outcomes[got] += 1
            if not got:
                withdrawn.append(reference_of(made))
            if left := await waiting(reader):
                await reader.confirm(*left.values())
    signed = Counter(
        soort for (soort,) in kept(somewhere, "SELECT soort FROM evidence WHERE entry IS NOT NULL")
    )
    assert signed["ingetrokken"] == len(withdrawn)
    with closing(somewhere.ledger()) as ledger:
        assert ledger.audit() == []
    assert set(outcomes) == {True, False}
    counts("ophalen en intrekken, http", taken=outcomes[True], withdrawn=outcomes[False])


async def recalled(here: Here, made: Json, round_: int) -> None:
    """Take a message back, in some rounds only after other questions."""
    recall = here.written(recall_of(made))
    for _ in range(round_ % (HEAD_STARTS + 1)):
        await here.get("/v1/sleutels")
    await accepted(here, recall)
