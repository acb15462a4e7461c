"""Clocks that jump, and processes whose clocks differ: late at most, never lost, doubled or stuck.

What a clock planned happens when any clock gets there, so a delivery is late by as much as the
clock was wrong. A lease that another clock takes for over may be tried twice; the fence lets only
the last holder say how it ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from fixtures.keyring import a_keyring
from gateway.adapters.ledger.ledger import SqlLedger, open_ledger
from gateway.adapters.ledger.migrate import migrate
from gateway.audit import Flaw, Sort
from gateway.delivery import State
from gateway.message import Channel
from tests.conformance.delivering import EVERYWHERE, LEASE, at_once, lend, numbers, state_of, told
from tests.conformance.submissions import NOON, admitting, many, strangers_to_each_other
from tests.fault.conftest import Counts

HOUR = timedelta(hours=1)
AHEAD = NOON + HOUR
BACK = NOON - 2 * HOUR
CROWD = 40

Pair = tuple[SqlLedger, SqlLedger]


@pytest.fixture(params=["sqlite-file", pytest.param("postgres", marks=pytest.mark.database)])
def ledger_address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty ledger."""
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    address = f"sqlite:///{tmp_path / 'ledger.db'}"
    migrate(address)
    return address


@pytest.fixture
def two(ledger_address: str) -> Iterator[Pair]:
    """Two processes with one ledger, whose evidence verifies in the end."""
    one, other = (open_ledger(ledger_address, a_keyring()) for _ in range(2))
    yield one, other
    assert one.audit() == []
    one.close()
    other.close()


def test_of_two_clocks_only_the_last_holder_of_a_lease_says_how_it_ended(two: Pair) -> None:
    right, fast = two
    right.record(many(1), admitting(), NOON)
    (first,) = lend(right, at=NOON)

    (second,) = lend(fast, at=AHEAD)

    assert second.id == first.id
    assert second.fence > first.fence
    assert right.conclude([told(first, State.GESTRAND)]) == 0
    assert fast.conclude([told(second, State.BEVESTIGD, at=AHEAD)]) == 1
    assert state_of(right) is State.BEVESTIGD
    assert lend(right, at=NOON + LEASE) == lend(fast, at=AHEAD + LEASE) == []


def test_two_couriers_with_the_same_clock_never_hold_the_same_delivery(
    two: Pair, counts: Counts
) -> None:
    one, other = two
    one.record(strangers_to_each_other(CROWD), admitting(), NOON)

    def take(ledger: SqlLedger) -> list[str]:
        taken = []
        while lent := lend(ledger, at=NOON, limit=3):
            taken += [each.id for each in lent]
        return taken

    mine, theirs = at_once(lambda: take(one), lambda: take(other))

    taken = [*mine, *theirs]
    assert len(taken) == len(set(taken)) == CROWD
    counts("two couriers at once", leased=len(taken), twice=len(taken) - len(set(taken)))


def test_two_writers_of_the_same_messages_keep_each_once(two: Pair, counts: Counts) -> None:
    one, other = two
    batch = many(CROWD)

    mine, theirs = at_once(
        lambda: one.record(batch, admitting(), NOON),
        lambda: other.record(batch, admitting(), AHEAD),
    )

    repeated = [a.repeated + b.repeated for a, b in zip(mine, theirs, strict=True)]  # type: ignore[union-attr]
    assert repeated == [1] * CROWD
    assert [a.document for a in mine] == [b.document for b in theirs]  # type: ignore[union-attr]
    kept = {a.document for a in (*mine, *theirs)}  # type: ignore[union-attr]
    counts("two writers at once", sent=len(mine) + len(theirs), kept=len(kept))


def test_a_clock_set_back_during_a_lease_changes_nothing_for_who_holds_it(two: Pair) -> None:
    one, other = two
    one.record(many(1), admitting(), NOON)
    (held,) = lend(one, at=NOON)

    assert lend(other, at=BACK) == []
    assert one.conclude([told(held, State.BEVESTIGD, at=BACK)]) == 1
    assert state_of(one) is State.BEVESTIGD


def test_a_lease_whose_holder_is_gone_is_found_when_the_clock_that_was_set_back_gets_there(
    two: Pair,
) -> None:
    gone, other = two
    gone.record(many(1), admitting(), NOON)
    lend(gone, at=NOON)

    assert other.next_due(EVERYWHERE) == NOON + LEASE
    assert lend(other, at=BACK) == []
    assert numbers(lend(other, at=NOON + LEASE)) == [1]


def test_what_a_clock_ahead_recorded_is_late_by_no_more_than_that_and_in_order(two: Pair) -> None:
    fast, right = two
    fast.record(many(1), admitting(Channel.QUEUE), AHEAD)
    right.record(many(1, first=2), admitting(Channel.QUEUE), NOON)

    assert lend(right, at=NOON) == []
    assert right.next_due(EVERYWHERE) == AHEAD
    (first,) = lend(right, at=AHEAD)
    right.conclude([told(first, State.BEVESTIGD, at=AHEAD)])
    (second,) = lend(right, at=AHEAD)

    assert numbers([first, second]) == [1, 2]


def test_a_retry_planned_by_a_clock_ahead_is_found_when_the_right_one_gets_there(
    two: Pair,
) -> None:
    fast, right = two
    fast.record(many(1), admitting(), NOON)
    (lent,) = lend(fast, at=AHEAD)
    fast.conclude([told(lent, State.WACHT, at=AHEAD)])

    planned = right.next_due(EVERYWHERE)

    assert planned is not None
    assert planned - AHEAD <= timedelta(minutes=1)
    assert lend(right, at=NOON) == []
    assert numbers(lend(right, at=planned)) == [1]


def test_a_clock_that_was_set_back_is_named_by_the_evidence_where_it_was_and_nothing_else_is(
    ledger_address: str, counts: Counts
) -> None:
    looks: list[datetime] = []
    one = open_ledger(ledger_address, a_keyring(), clock=lambda: looks[-1])
    other = open_ledger(ledger_address, a_keyring(), clock=lambda: AHEAD)

    looks.append(NOON)
    one.record(many(1), admitting(), NOON)
    other.record(many(1, first=2), admitting(), AHEAD)
    looks.append(BACK)
    lent = lend(one, at=NOON)
    one.conclude([told(each, State.BEVESTIGD, at=BACK) for each in lent])
    looks.append(NOON)
    one.record(many(1, first=3), admitting(), NOON)

    flaws = one.audit()
    assert flaws == [Flaw(Sort.CLOCK, f"{one._journal.log}/2")]
    one.close()
    other.close()
    counts("clock set back", checkpoints=4, flaws=len(flaws))
