"""Every ledger lends out what is due, in order, to one worker at a time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from gateway.adapters.ledger import leasing, tables
from gateway.adapters.ledger.ledger import SqlLedger
from gateway.delivery import Reason, State
from gateway.message import Channel, Delivery
from tests.conformance.delivering import (
    EVERYWHERE,
    LEASE,
    at_once,
    conclude,
    dead,
    lend,
    numbers,
    told,
)
from tests.conformance.submissions import (
    CREDITOR,
    MUNICIPALITY,
    NOON,
    STRANGER,
    a_submission,
    admitting,
    many,
    strangers_to_each_other,
)

MINUTE = timedelta(minutes=1)


def test_what_is_lent_is_not_lent_again_while_the_lease_lasts(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], admitting(), NOON)

    (first,) = lend(ledger)

    assert (first.attempt, first.fence) == (1, 1)
    assert lend(ledger, at=NOON + LEASE - timedelta(microseconds=1)) == []


def test_a_lease_that_runs_out_counts_and_is_due_again(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], admitting(), NOON)
    (first,) = lend(ledger)

    (second,) = lend(ledger, at=NOON + LEASE)

    assert second.attempt == first.attempt + 1
    assert second.fence > first.fence
    assert second.queued_at == NOON


def test_no_more_than_the_limit_is_lent_and_the_oldest_first(ledger: SqlLedger) -> None:
    first, second, third = strangers_to_each_other(3)
    ledger.record([third], admitting(), NOON + 2 * MINUTE)
    ledger.record([first], admitting(), NOON)
    ledger.record([second], admitting(), NOON + MINUTE)

    lent = lend(ledger, at=NOON + 3 * MINUTE, limit=2)

    assert [each.id for each in lent] == [first.delivery_id, second.delivery_id]


def test_only_the_channels_asked_for_are_lent(ledger: SqlLedger) -> None:
    ledger.record(strangers_to_each_other(1), admitting(Channel.QUEUE), NOON)
    ledger.record(strangers_to_each_other(1, first=2), admitting(Channel.PUSH), NOON)

    lent = lend(ledger, channels=frozenset({Channel.PUSH}))

    assert [each.channel for each in lent] == [Channel.PUSH]


def test_no_more_content_is_lent_at_once_than_fits_but_always_one(
    ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = strangers_to_each_other(4)
    ledger.record(batch, admitting(), NOON)
    size = len(batch[0].canonical)

    lent = []
    for budget in (2 * size, 1, 2 * size):
        monkeypatch.setattr(leasing, "LENT_BYTES", budget)
        lent.append([each.id for each in lend(ledger)])

    ids = [each.delivery_id for each in batch]
    assert lent == [ids[:2], ids[2:3], ids[3:]]


def test_parties_with_an_open_breaker_are_passed_over(ledger: SqlLedger) -> None:
    there = a_submission(1)
    back = a_submission(2, afzender=MUNICIPALITY, ontvanger=CREDITOR)
    ledger.record([there, back], admitting(), NOON)

    lent = lend(ledger, closed=frozenset({MUNICIPALITY}))

    assert [each.ontvanger for each in lent] == [CREDITOR]


def test_a_postbus_is_never_lent(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], admitting(Channel.POSTBUS), NOON)

    assert lend(ledger) == []
    assert ledger.next_due(EVERYWHERE) is None


def test_two_workers_never_get_the_same_delivery(
    two_ledgers: tuple[SqlLedger, SqlLedger],
) -> None:
    one, other = two_ledgers
    one.record(strangers_to_each_other(60), admitting(), NOON)

    def work(ledger: SqlLedger) -> list[Delivery]:
        return [each for _ in range(12) for each in lend(ledger, limit=5)]

    mine, yours = at_once(lambda: work(one), lambda: work(other))

    lent = [each.id for each in (*mine, *yours)]
    assert len(lent) == len(set(lent)) == 60


def test_one_delivery_of_a_conversation_is_lent_at_a_time(ledger: SqlLedger) -> None:
    ledger.record(many(3), admitting(), NOON)

    (first,) = lend(ledger)

    assert first.volgnummer == 1
    assert lend(ledger) == []


@pytest.mark.parametrize("state", [State.BEVESTIGD, State.AANGEBODEN])
def test_what_needs_no_confirmation_any_more_lets_the_next_go(
    ledger: SqlLedger, state: State
) -> None:
    ledger.record(many(2), admitting(awaits_confirmation=False), NOON)
    later = NOON + MINUTE

    conclude(ledger, state, at=later)

    (second,) = lend(ledger, at=later)
    assert second.volgnummer == 2
    assert second.queued_at == later  # its first attempt became possible only now


def test_what_lies_unconfirmed_holds_up_the_next(ledger: SqlLedger) -> None:
    ledger.record(many(2), admitting(Channel.QUEUE), NOON)

    conclude(ledger, State.AANGEBODEN)

    assert lend(ledger) == []
    assert ledger.next_due(EVERYWHERE) is None


def test_what_lies_in_a_postbus_holds_up_a_later_push(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], admitting(Channel.POSTBUS), NOON)
    ledger.record([a_submission(2)], admitting(Channel.PUSH), NOON)

    before = lend(ledger)
    ledger.confirm(MUNICIPALITY, [a_submission(1).delivery_id], NOON)

    assert before == []
    assert numbers(lend(ledger)) == [2]


def test_what_is_tried_again_keeps_its_place(ledger: SqlLedger) -> None:
    ledger.record(many(2), admitting(), NOON)
    (first,) = lend(ledger)

    ledger.conclude([told(first, State.WACHT, retry_at=NOON + 2 * MINUTE)])

    assert lend(ledger, at=NOON + MINUTE) == []
    (again,) = lend(ledger, at=NOON + 2 * MINUTE)
    assert (again.volgnummer, again.attempt, again.queued_at) == (1, 2, NOON)


def test_what_overtakes_neither_waits_nor_holds_up(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], admitting(), NOON)
    ledger.record([a_submission(2)], admitting(overtakes=True), NOON)
    ledger.record([a_submission(3)], admitting(), NOON)

    first = lend(ledger)
    ledger.conclude([told(each, State.BEVESTIGD) for each in first if each.volgnummer == 1])

    assert numbers(first) == [1, 2]
    assert numbers(lend(ledger)) == [3]


def test_a_dead_letter_holds_up_the_next(ledger: SqlLedger) -> None:
    ledger.record(many(2), admitting(), NOON)

    conclude(ledger, State.GESTRAND)

    assert lend(ledger) == []


def test_a_dead_letter_lets_the_next_pass_where_the_party_wants_that(ledger: SqlLedger) -> None:
    ledger.record(many(2), admitting(blocks=False), NOON)

    conclude(ledger, State.GESTRAND)

    assert numbers(lend(ledger)) == [2]


def test_the_next_waits_also_when_it_is_recorded_later(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], admitting(), NOON)
    conclude(ledger, State.GESTRAND)

    ledger.record([a_submission(2)], admitting(), NOON)

    assert lend(ledger) == []


def test_another_conversation_is_not_held_up(ledger: SqlLedger) -> None:
    ledger.record(strangers_to_each_other(2), admitting(), NOON)

    assert len(lend(ledger)) == 2


def test_next_due_is_the_first_moment_at_which_there_is_work(ledger: SqlLedger) -> None:
    assert ledger.next_due(EVERYWHERE) is None
    ledger.record(strangers_to_each_other(2), admitting(), NOON)
    assert ledger.next_due(EVERYWHERE) == NOON

    first, second = lend(ledger)
    assert ledger.next_due(EVERYWHERE) == NOON + LEASE
    ledger.conclude([told(first, State.WACHT, retry_at=NOON + MINUTE)])
    assert ledger.next_due(EVERYWHERE) == NOON + MINUTE
    ledger.conclude([told(second, State.BEVESTIGD)])

    assert ledger.next_due(frozenset({Channel.QUEUE})) is None
    assert ledger.next_due(EVERYWHERE) == NOON + MINUTE


def test_a_message_that_kills_whoever_takes_it_ends_as_a_dead_letter(ledger: SqlLedger) -> None:
    ledger.record(many(2, afzender=STRANGER), admitting(), NOON)

    at = NOON
    for _ in range(11):  # taken, and ten times taken again after the lease ran out
        assert numbers(lend(ledger, at=at)) == [1]
        at += LEASE
    assert lend(ledger, at=at) == []

    (letter,) = dead(ledger)
    assert letter.reason is Reason.AFLEVERLIMIET
    assert (letter.attempts, letter.stranded_at) == (11, at)


def test_an_answer_now_and_then_keeps_a_message_from_the_limit(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], admitting(), NOON)

    at = NOON
    for _ in range(30):
        (lent,) = lend(ledger, at=at)
        if lent.attempt % 10 == 0:
            ledger.conclude([told(lent, State.WACHT, at=at, retry_at=at)])
        at += LEASE

    assert dead(ledger) == []


def test_heal_frees_a_delivery_that_waits_for_nothing(ledger: SqlLedger) -> None:
    ledger.record(strangers_to_each_other(2), admitting(), NOON)
    with ledger._database.writing() as connection:  # no call of the ledger leaves it like this
        connection.execute(sa.update(tables.delivery).values(due_at=None))
    before = lend(ledger)

    freed = ledger.heal(NOON + MINUTE)

    assert before == []
    assert freed == 2
    assert len(lend(ledger, at=NOON + MINUTE)) == 2


def test_heal_leaves_alone_what_waits_for_something(ledger: SqlLedger) -> None:
    ledger.record(many(3), admitting(), NOON)

    assert ledger.heal(NOON) == 0
    assert numbers(lend(ledger)) == [1]


def test_finishing_while_a_successor_is_being_recorded_leaves_it_not_behind(
    two_ledgers: tuple[SqlLedger, SqlLedger],
) -> None:
    """The successor saw its predecessor in the way, and is not committed yet."""
    one, other = two_ledgers
    one.record([a_submission(1)], admitting(), NOON)
    (first,) = lend(one)
    written, go_on = threading.Event(), threading.Event()

    def pause(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.replace('"', "").startswith("INSERT INTO delivery"):
            written.set()
            assert go_on.wait(20)

    event.listen(other._database.engine, "after_cursor_execute", pause)
    with ThreadPoolExecutor(2) as threads:
        recording = threads.submit(other.record, [a_submission(2)], admitting(), NOON)
        assert written.wait(20)
        concluding = threads.submit(one.conclude, [told(first, State.BEVESTIGD)])
        wait([concluding], timeout=0.2)  # it has every chance to come too early
        go_on.set()
        recording.result()
        assert concluding.result() == 1

    assert numbers(lend(one)) == [2]
