"""Every ledger lets operators do three things with a dead letter, and writes it down."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from gateway.adapters.ledger import tables
from gateway.adapters.ledger.ledger import SqlLedger
from gateway.dead_letter import DeadLetterFilter
from gateway.delivery import State
from gateway.message import Channel
from tests.conformance.delivering import (
    at_once,
    conclude,
    dead,
    garbage,
    ids_of,
    lend,
    numbers,
    rows,
    state_of,
    stranding,
    told,
)
from tests.conformance.submissions import (
    CREDITOR,
    MUNICIPALITY,
    NOON,
    a_submission,
    admitting,
    many,
    strangers_to_each_other,
)

LATER = NOON + timedelta(minutes=1)
ADA: dict[str, Any] = {"by": "ada", "why": "eindpunt hersteld", "at": LATER}


def stranded(ledger: SqlLedger, count: int = 1, **changes: Any) -> list[int]:
    """So many messages in one conversation, the first of them dead; its letter."""
    ledger.record(many(count), admitting(**changes), NOON)
    conclude(ledger, State.GESTRAND)
    return ids_of(dead(ledger))


def test_a_resolved_letter_is_shown_only_when_asked_for(ledger: SqlLedger) -> None:
    letters = stranded(ledger)

    ledger.discard(letters, **ADA)

    (shown,) = dead(ledger, resolved=True)
    assert dead(ledger) == []
    assert (shown.resolved, shown.resolved_by) == ("verworpen", "ada")
    assert shown.resolved_why
    assert shown.resolved_at == LATER


def test_a_replay_offers_the_same_delivery_again(ledger: SqlLedger) -> None:
    letters = stranded(ledger)

    replayed = ledger.replay(letters, **ADA)

    (again,) = lend(ledger, at=LATER)
    assert replayed == letters
    assert (again.id, again.volgnummer) == (a_submission(1).delivery_id, 1)
    assert (again.attempt, again.queued_at) == (2, LATER)  # giving up counts from now
    assert dead(ledger) == []


def test_a_replay_goes_before_what_waited_for_it(ledger: SqlLedger) -> None:
    letters = stranded(ledger, count=2)

    ledger.replay(letters, **ADA)

    order = [numbers(conclude(ledger, State.BEVESTIGD, at=LATER)) for _ in range(3)]
    assert order == [[1], [2], []]


def test_a_replay_into_a_postbus_lies_ready_again(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], admitting(Channel.POSTBUS), NOON)
    ledger.strand([stranding()])
    before = ledger.postbus(MUNICIPALITY, limit=9)

    ledger.replay(ids_of(dead(ledger)), **ADA)

    assert before == []
    assert len(ledger.postbus(MUNICIPALITY, limit=9)) == 1


def test_a_replayed_message_can_die_again(ledger: SqlLedger) -> None:
    ledger.replay(stranded(ledger), **ADA)

    conclude(ledger, State.GESTRAND, at=LATER)

    assert len(dead(ledger)) == 1
    assert len(dead(ledger, resolved=True)) == 2


def test_a_replay_takes_its_place_before_those_that_passed_it(ledger: SqlLedger) -> None:
    letters = stranded(ledger, count=3, blocks=False)
    (second,) = lend(ledger)  # it passed the dead one and is under way

    ledger.replay(letters, **ADA)
    while_lent = lend(ledger, at=LATER)
    ledger.conclude([told(second, State.WACHT, at=LATER, retry_at=LATER)])

    assert while_lent == []
    order = [numbers(conclude(ledger, State.BEVESTIGD, at=LATER)) for _ in range(4)]
    assert order == [[1], [2], [3], []]


def test_a_discard_gives_up_for_good_and_lets_the_next_go(ledger: SqlLedger) -> None:
    letters = stranded(ledger, count=2)

    discarded = ledger.discard(letters, **ADA)

    assert discarded == letters
    assert state_of(ledger) is State.VERWORPEN
    assert numbers(lend(ledger, at=LATER)) == [2]


def test_a_release_leaves_it_dead_and_lets_the_next_go(ledger: SqlLedger) -> None:
    letters = stranded(ledger, count=2)

    released = ledger.release(letters, **ADA)

    assert released == letters
    assert state_of(ledger) is State.GESTRAND
    assert numbers(lend(ledger, at=LATER)) == [2]


def test_a_released_letter_is_shown_as_long_as_its_delivery_is_dead(ledger: SqlLedger) -> None:
    letters = stranded(ledger, count=2)

    ledger.release(letters, **ADA)

    (shown,) = dead(ledger)
    assert (shown.id, shown.resolved, shown.resolved_by) == (letters[0], "vrijgegeven", "ada")
    assert sum(ledger.count_dead_letters(DeadLetterFilter()).values()) == 1
    assert dead(ledger, ontvanger=CREDITOR) == []


def test_a_released_letter_can_be_replayed_and_blocks_again_when_it_dies_again(
    ledger: SqlLedger,
) -> None:
    letters = stranded(ledger, count=2)
    ledger.release(letters, **ADA)

    replayed = ledger.replay(letters, **ADA)
    again = numbers(conclude(ledger, State.GESTRAND, at=LATER))

    assert (replayed, again) == (letters, [1])
    (newest,) = dead(ledger)
    assert newest.id not in letters
    assert newest.resolved is None
    assert lend(ledger, at=LATER) == []
    assert ledger.replay(letters, **ADA) == []  # there is a newer one
    assert ledger.discard(letters, **ADA) == []


def test_a_released_letter_can_be_discarded(ledger: SqlLedger) -> None:
    letters = stranded(ledger)
    ledger.release(letters, **ADA)

    assert ledger.discard(letters, **ADA) == letters
    assert ledger.replay(letters, **ADA) == []

    assert state_of(ledger) is State.VERWORPEN
    assert dead(ledger) == []


@pytest.mark.parametrize("act", ["replay", "discard", "release"])
def test_only_open_letters_are_acted_on(ledger: SqlLedger, act: str) -> None:
    (letter,) = stranded(ledger)
    do = getattr(ledger, act)

    assert do([letter, letter + 1], **ADA) == [letter]
    assert do([letter], **ADA) == []
    assert do([], **ADA) == []


def test_garbage_can_only_be_discarded_and_is_erased_then(ledger: SqlLedger) -> None:
    ledger.strand([garbage()])
    letters = ids_of(dead(ledger))

    assert ledger.replay(letters, **ADA) == []
    assert ledger.release(letters, **ADA) == []
    assert ledger.discard(letters, **ADA) == letters
    assert rows(ledger, sa.select(tables.dead_letter.c.garbage)) == [(None,)]

    ledger.strand([garbage()])
    assert len(dead(ledger)) == 1  # it came again after somebody had looked


def test_what_an_operator_did_is_written_down(ledger: SqlLedger) -> None:
    letters = stranded(ledger)

    ledger.replay(letters, **ADA)
    ledger.replay(letters, **ADA)  # nothing was open any more

    (done,) = rows(ledger, sa.select(tables.action))
    assert (done.who, done.why, done.what) == ("ada", "eindpunt hersteld", "herhaald")
    assert (done.at, done.dead_letters) == (LATER, letters)


def test_two_operators_at_once_act_on_each_letter_once(
    two_ledgers: tuple[SqlLedger, SqlLedger],
) -> None:
    one, other = two_ledgers
    one.record(strangers_to_each_other(50), admitting(), NOON)
    conclude(one, State.GESTRAND)
    letters = ids_of(dead(one))

    mine, yours = at_once(
        partial(one.replay, letters, **ADA), partial(other.discard, letters[::-1], **ADA)
    )

    assert sorted([*mine, *yours]) == sorted(letters)
    assert len(lend(one, at=LATER)) == len(mine)
