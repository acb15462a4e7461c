"""Several processes keep the time, one is killed over it, and an operator looks ahead."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from fixtures.ahead import quiet_monday
from fixtures.world import GATEWAY, SE, SHV, World
from gateway.adapters.ledger.ledger import SqlLedger
from gateway.adapters.ledger.tables import message
from gateway.adapters.register import directory_of
from gateway.calendar import AMSTERDAM
from tests.conformance.submissions import a_uuid
from tests.conformance.timed import Timed, Told
from tests.conftest import NewWorld
from tests.e2e.operator import operator, operator_json
from tests.fault.gateway_process import GatewayProcess, running
from tests.servers.party import eventually

MANY = 2_500
"""So many that saying it all takes seconds: the kill must come before the end."""
DAY = timedelta(days=1)


def a_timed(world: World, ledger: SqlLedger) -> Timed:
    """The ledger of this world, at the instant that it is there."""
    return Timed(ledger, directory_of(*ledger.directory()), now=world.ahead.now())


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.database)])
def world(request: pytest.FixtureRequest, new_world: NewWorld, tmp_path: Path) -> World:
    """A gateway with a clock that can be set; it is Monday there, at noon."""
    folder = tmp_path / "gateway"
    ahead = str(folder / "vooruit")
    if request.param == "postgres":
        server = str(request.getfixturevalue("postgres_url"))
        made = new_world(folder, ledger=server, clock_ahead=ahead)
    else:
        made = new_world(folder, clock_ahead=ahead)
    made.ahead.set(quiet_monday(made.ahead.now()))
    return made


@pytest.fixture
def ledger(world: World) -> Iterator[SqlLedger]:
    with closing(world.ledger()) as opened:
        yield opened


def said_by_the_gateway(ledger: SqlLedger) -> int:
    """How many messages."""
    query = sa.select(sa.func.count()).where(message.c.afzender == GATEWAY)
    with ledger._database.reading() as connection:
        return connection.scalar(query) or 0


# --- more processes -------------------------------------------------------------------------------


@pytest.mark.timeout(300)
async def test_of_two_that_keep_the_time_one_is_killed_and_everything_is_said_once(
    world: World, ledger: SqlLedger
) -> None:
    timed = a_timed(world, ledger)
    written = [timed.written("Saldoverzoek", thread=str(each)) for each in range(MANY)]
    ledger.record(written, timed.station, timed.now)
    ledger.confirm(SE, [each.delivery_id for each in written], timed.now)
    one, other = GatewayProcess(world, "klok"), GatewayProcess(world, "klok")

    with running(one, other):
        await asyncio.gather(one.until_ready(), other.until_ready())
        assert said_by_the_gateway(ledger) == 0
        world.ahead.set(timed.now + 20 * DAY)

        async def begun() -> bool:
            return said_by_the_gateway(ledger) > 0

        await eventually(begun, "the first is said", within=60)
        one.kill()
        at_the_kill = said_by_the_gateway(ledger)

        async def finished() -> bool:
            return ledger.next_term() is None

        await eventually(finished, "nothing is due any more", within=120)

    assert at_the_kill < 2 * MANY, "it was killed when all was done"
    numbers = [each.message.header.referentienummer for each in written]
    told = Counter(timed.told())
    assert set(told) == {
        Told("TermijnVerstreken", number, party) for number in numbers for party in (SHV, SE)
    }
    assert set(told.values()) == {1}
    assert ledger.audit() == []


# --- an operator ----------------------------------------------------------------------------------


@pytest.fixture
def asked(world: World, ledger: SqlLedger) -> Timed:
    """A creditor was asked for a balance, and took the question."""
    timed = a_timed(world, ledger)
    timed.collect(timed.say("Saldoverzoek"), confirm=True)
    return timed


def on(timed: Timed, days: int) -> str:
    """The day so much later, as it is typed."""
    return (timed.now + days * DAY).astimezone(AMSTERDAM).date().isoformat()


def test_an_operator_sees_what_will_happen_and_nothing_changes(asked: Timed, world: World) -> None:
    (number,) = asked.delivery_ids

    told = operator_json(world, "klok", "--op", on(asked, 15), "--proef")
    shown = operator(world, "klok", "--op", on(asked, 15), "--proef")

    last = on(asked, 14)
    assert [(each["wat"], each["bericht"], each["voor"]) for each in told] == [
        ("HELFT", "Herinnering", SE),
        ("VIER_VIJFDE", "Herinnering", SE),
        ("VERSTREKEN", "TermijnVerstreken", SHV),
        ("VERSTREKEN", "TermijnVerstreken", SE),
    ]
    assert {each["conversatieReferentienummer"] for each in told} == {a_uuid("gesprek", "een")}
    assert {each["referentienummer"] for each in told} == {number}
    assert {each["berichtsoort"] for each in told} == {"Saldoverzoek"}
    assert {each["termijnTotEnMet"] for each in told} == {last}
    for heading in ("wanneer", "wat", "gesprek-id", "berichtsoort", "voor wie", "termijn t/m"):
        assert heading in shown
    assert shown.count(a_uuid("gesprek", "een")) == 4
    assert "09:00" in shown
    assert asked.told() == []
    half = operator_json(world, "klok", "--op", f"{on(asked, 7)}T09:00", "--proef")
    before = operator_json(world, "klok", "--op", f"{on(asked, 7)}T08:59", "--proef")
    assert (len(half), before) == (1, [])


def test_an_operator_does_once_what_is_due(asked: Timed, world: World) -> None:
    (number,) = asked.delivery_ids
    world.ahead.set(asked.now + 7 * DAY)

    due = operator(world, "klok", "--proef")
    done = operator_json(world, "klok")
    again = operator(world, "klok")

    assert "gateway klok" in due
    assert [(each["wat"], each["referentienummer"]) for each in done] == [("HELFT", number)]
    assert again.strip() == "Gedaan: niets."
    assert asked.told() == [Told("Herinnering", number, SE, "HELFT")]


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (("--op", "2026-12-01"), "--proef"),
        (("--op", "morgen", "--proef"), "--op"),
        (("--op", "2026-02-30", "--proef"), "--op"),
    ],
)
def test_what_cannot_be_asked_changes_nothing(
    asked: Timed, world: World, given: tuple[str, ...], complaint: str
) -> None:
    world.ahead.set(asked.now + 7 * DAY)

    said = operator(world, "klok", *given)

    assert said.code == 1
    assert complaint in said
    assert asked.told() == []
