"""Every ledger writes down what attempts came to, once, under the right fence."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import sqlalchemy as sa

from gateway.adapters.ledger import tables
from gateway.adapters.ledger.ledger import SqlLedger
from gateway.dead_letter import Stranding
from gateway.delivery import Answer, Attempted, Reason, State
from gateway.dossier import MessageView
from gateway.message import Channel
from gateway.record import Confirmed
from tests.conformance.delivering import (
    EVERYWHERE,
    LEASE,
    conclude,
    dead,
    lend,
    numbers,
    rows,
    told,
)
from tests.conformance.submissions import (
    CREDITOR,
    MUNICIPALITY,
    NOON,
    STRANGER,
    a_submission,
    a_uuid,
    admitting,
    many,
    strangers_to_each_other,
)
from tests.conformance.test_ledger_retention import swept

LATER = NOON + timedelta(minutes=1)


def view(ledger: SqlLedger, number: int = 1) -> MessageView:
    found = ledger.message(CREDITOR, a_uuid("message", number))
    assert found is not None
    return found


def test_an_attempt_is_kept_with_its_answer(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], admitting(), NOON)
    (lent,) = lend(ledger)
    failed = told(
        lent,
        State.WACHT,
        attempted=Attempted(Answer.UNAVAILABLE, 503, "te-druk"),
        ended_at=LATER,
        sent_sha256="a" * 64,
    )

    applied = ledger.conclude([failed])

    (row,) = rows(ledger, sa.select(tables.attempt))
    assert applied == 1
    assert (row.number, row.started_at, row.ended_at) == (1, NOON, LATER)
    assert (row.answer, row.status, row.note) == ("onbereikbaar", 503, "te-druk")
    assert row.sent_sha256 == "a" * 64


def test_a_push_that_was_taken_is_confirmed(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], admitting(), NOON)

    conclude(ledger, State.BEVESTIGD, at=LATER)

    now = view(ledger)
    assert now.state is State.BEVESTIGD
    assert (now.offered_at, now.confirmed_at, now.attempts) == (LATER, LATER, 1)


def test_what_the_broker_took_is_offered_until_somebody_confirms(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], admitting(Channel.QUEUE), NOON)

    conclude(ledger, State.AANGEBODEN, at=LATER)

    now = view(ledger)
    assert now.state is State.AANGEBODEN
    assert (now.offered_at, now.confirmed_at) == (LATER, None)


def test_a_rejected_delivery_is_one_dead_letter(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], admitting(), NOON)

    conclude(ledger, State.GESTRAND, at=LATER)

    (letter,) = dead(ledger)
    assert (letter.reason, letter.note) == (Reason.GEWEIGERD, "proef")
    assert (letter.delivery_id, letter.stranded_at) == (a_submission(1).delivery_id, LATER)
    assert view(ledger).state is State.GESTRAND
    assert view(ledger).reason is Reason.GEWEIGERD
    assert ledger.next_due(EVERYWHERE) is None


def test_an_old_fence_is_ignored(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], admitting(), NOON)
    (slow,) = lend(ledger)
    (quick,) = lend(ledger, at=NOON + LEASE)

    ignored = ledger.conclude([told(slow, State.GESTRAND)])
    applied = ledger.conclude([told(quick, State.BEVESTIGD)])

    assert (ignored, applied) == (0, 1)
    assert view(ledger).state is State.BEVESTIGD
    assert dead(ledger) == []


def test_the_same_conclusion_twice_counts_once(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], admitting(), NOON)
    (lent,) = lend(ledger)
    failed = told(lent, State.WACHT, retry_at=LATER)

    assert ledger.conclude([failed, failed]) == 1
    assert ledger.conclude([failed]) == 0

    assert ledger.next_due(EVERYWHERE) == LATER


def test_old_and_new_fences_in_one_batch_do_not_hide_each_other(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], admitting(), NOON)
    (slow,) = lend(ledger)
    (quick,) = lend(ledger, at=NOON + LEASE)

    applied = ledger.conclude([told(quick, State.BEVESTIGD), told(slow, State.WACHT)])

    assert applied == 1
    assert view(ledger).state is State.BEVESTIGD


def test_a_late_answer_counts_as_long_as_nobody_else_has_the_delivery(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], admitting(), NOON)
    (lent,) = lend(ledger)

    applied = ledger.conclude([told(lent, State.BEVESTIGD, at=NOON + 2 * LEASE)])

    assert applied == 1
    assert lend(ledger, at=NOON + 3 * LEASE) == []


def test_a_delivery_that_is_not_there_is_ignored(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], admitting(), NOON)
    (lent,) = lend(ledger)
    unknown = replace(told(lent, State.BEVESTIGD), delivery_id=a_uuid("nowhere"))

    assert ledger.conclude([]) == 0
    assert ledger.conclude([unknown]) == 0


def test_many_conclusions_are_written_at_once(ledger: SqlLedger) -> None:
    ledger.record(strangers_to_each_other(300), admitting(), NOON)
    lent = lend(ledger, limit=300)
    ends = [State.BEVESTIGD, State.WACHT, State.GESTRAND]

    applied = ledger.conclude([told(each, ends[place % 3]) for place, each in enumerate(lent)])

    counts = sa.select(tables.delivery.c.state, sa.func.count()).group_by(tables.delivery.c.state)
    assert applied == 300
    assert {row[0]: row[1] for row in rows(ledger, counts)} == dict.fromkeys(ends, 100)


def test_a_consumer_may_confirm_before_the_publisher_has_told(ledger: SqlLedger) -> None:
    ledger.record(many(2), admitting(Channel.QUEUE), NOON)
    (lent,) = lend(ledger)

    confirmed = ledger.confirm(MUNICIPALITY, [lent.id], LATER)
    applied = ledger.conclude([told(lent, State.AANGEBODEN)])

    assert confirmed == {lent.id: Confirmed.NOW}
    assert applied == 1  # the attempt is evidence
    now = view(ledger)
    assert (now.state, now.offered_at, now.confirmed_at) == (State.BEVESTIGD, NOON, LATER)
    assert numbers(lend(ledger, at=LATER)) == [2]


def test_a_failed_attempt_does_not_take_a_confirmation_back(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], admitting(Channel.QUEUE), NOON)
    (lent,) = lend(ledger)
    ledger.confirm(MUNICIPALITY, [lent.id], NOON)

    ledger.conclude([told(lent, State.WACHT)])

    assert view(ledger).state is State.BEVESTIGD
    assert lend(ledger, at=NOON + 2 * LEASE) == []


def test_an_answer_after_a_rejection_leaves_the_dead_letter(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], admitting(Channel.QUEUE), NOON)
    (lent,) = lend(ledger)
    ledger.strand([Stranding(lent.id, Reason.GEWEIGERD, "SCHEMA_ONGELDIG", NOON)])

    ledger.conclude([told(lent, State.AANGEBODEN)])

    assert view(ledger).state is State.GESTRAND
    assert len(dead(ledger)) == 1


def test_an_answer_from_before_a_replay_is_ignored(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], admitting(Channel.QUEUE), NOON)
    (lent,) = lend(ledger)
    ledger.strand([Stranding(lent.id, Reason.GEWEIGERD, "", NOON)])
    ledger.replay([dead(ledger)[0].id], by="ada", why="hersteld", at=NOON)

    applied = ledger.conclude([told(lent, State.BEVESTIGD)])

    assert applied == 0
    assert view(ledger).state is State.WACHT


def test_a_refilled_queue_gets_what_was_offered_and_not_confirmed(ledger: SqlLedger) -> None:
    ledger.record(strangers_to_each_other(3), admitting(Channel.QUEUE), NOON)
    lent = conclude(ledger, State.AANGEBODEN, at=LATER)
    ledger.confirm(MUNICIPALITY, [lent[0].id], LATER)

    count = ledger.refill(MUNICIPALITY, LATER, LATER)

    assert count == 2
    again = lend(ledger, at=LATER)
    assert {each.id for each in again} == {each.id for each in lent[1:]}
    assert {(each.attempt, each.queued_at) for each in again} == {(2, LATER)}


def test_a_refill_takes_no_more_than_was_asked(ledger: SqlLedger) -> None:
    ledger.record(strangers_to_each_other(1), admitting(Channel.QUEUE), NOON)
    ledger.record(strangers_to_each_other(1, first=2), admitting(Channel.PUSH), NOON)
    ledger.record(strangers_to_each_other(1, first=3), admitting(Channel.POSTBUS), NOON)
    conclude(ledger, State.AANGEBODEN)

    assert ledger.refill(MUNICIPALITY, LATER, LATER) == 0  # offered before that
    assert ledger.refill(STRANGER, NOON, LATER) == 0
    assert ledger.refill(MUNICIPALITY, NOON, LATER) == 1


def test_a_refilled_conversation_goes_in_order_again(ledger: SqlLedger) -> None:
    ledger.record(many(3), admitting(Channel.QUEUE, awaits_confirmation=False), NOON)
    for _ in range(3):
        conclude(ledger, State.AANGEBODEN)
    ledger.record(many(1, first=4), admitting(Channel.QUEUE, awaits_confirmation=False), NOON)

    ledger.refill(MUNICIPALITY, NOON, LATER)

    order = [numbers(conclude(ledger, State.AANGEBODEN, at=LATER)) for _ in range(5)]
    assert order == [[1], [2], [3], [4], []]


def test_a_refill_offers_nothing_of_which_the_content_went(ledger: SqlLedger) -> None:
    ledger.record(
        strangers_to_each_other(2), admitting(Channel.QUEUE, awaits_confirmation=False), NOON
    )
    conclude(ledger, State.AANGEBODEN)
    swept(ledger, NOON + timedelta(days=31))
    (new,) = strangers_to_each_other(1, first=3)
    ledger.record([new], admitting(Channel.QUEUE), NOON)
    conclude(ledger, State.AANGEBODEN)

    count = ledger.refill(MUNICIPALITY, NOON, LATER)

    assert (count, [each.id for each in lend(ledger, at=LATER)]) == (1, [new.delivery_id])
    assert dead(ledger) == []


def test_a_refill_of_its_own_accord_leaves_what_needed_no_confirmation(ledger: SqlLedger) -> None:
    ledger.record(
        strangers_to_each_other(1), admitting(Channel.QUEUE, awaits_confirmation=False), NOON
    )
    (other,) = strangers_to_each_other(1, first=2)
    ledger.record([other], admitting(Channel.QUEUE), NOON)
    conclude(ledger, State.AANGEBODEN)

    assert ledger.refill(MUNICIPALITY, NOON, LATER, until=LATER) == 1
    assert [each.id for each in lend(ledger, at=LATER)] == [other.delivery_id]


def test_what_ends_after_its_content_was_erased_leaves_nothing_to_know_it_by(
    ledger: SqlLedger,
) -> None:
    ledger.record(strangers_to_each_other(1), admitting(Channel.QUEUE), NOON)
    (lent,) = lend(ledger)
    with ledger._database.writing() as connection:
        connection.execute(sa.update(tables.message).values(erased_at=NOON, original_sha256=None))

    assert ledger.conclude([told(lent, State.AANGEBODEN, sent_sha256="a" * 64)]) == 1

    assert [row.sent_sha256 for row in rows(ledger, sa.select(tables.attempt))] == [None]
    entries = rows(ledger, sa.select(tables.evidence.c.entry))
    assert not any("a" * 64 in (row.entry or "") for row in entries)
