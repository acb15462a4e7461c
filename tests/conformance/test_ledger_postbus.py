"""Every ledger shows a party its own deliveries and messages, and takes its confirmations."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.adapters.ledger.ledger import SqlLedger
from gateway.dead_letter import Stranding
from gateway.delivery import Reason, State
from gateway.message import Channel, Dialect, Door, Oin
from gateway.record import Confirmed
from tests.conformance.delivering import conclude, lend, numbers
from tests.conformance.submissions import (
    CREDITOR,
    KENNISGEVING,
    MUNICIPALITY,
    NOON,
    STRANGER,
    a_submission,
    a_uuid,
    admitting,
    many,
    strangers_to_each_other,
)

LATER = NOON + timedelta(minutes=1)


def ready(ledger: SqlLedger, party: Oin = MUNICIPALITY, after: int = 0) -> list[str]:
    return [each.id for _, each in ledger.postbus(party, limit=100, after=after)]


def test_a_postbus_lists_the_oldest_first_and_volgnummers_in_order(ledger: SqlLedger) -> None:
    for number in (3, 1, 2):
        other = a_uuid("conversation", 2)
        batch = [a_submission(number), a_submission(number + 10, conversatie=other)]
        ledger.record(batch, admitting(Channel.POSTBUS), NOON)

    found = [each for _, each in ledger.postbus(MUNICIPALITY, limit=100)]

    assert [each.id for each in found] == [
        a_submission(number).delivery_id for number in (3, 13, 1, 11, 2, 12)
    ]
    assert numbers(found) == [1, 1, 2, 2, 3, 3]


def test_a_postbus_item_is_complete(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], admitting(Channel.POSTBUS), NOON)

    ((cursor, item),) = ledger.postbus(MUNICIPALITY, limit=1)

    assert cursor > 0
    assert (item.ontvanger, item.afzender, item.kind) == (MUNICIPALITY, CREDITOR, KENNISGEVING)
    assert item.canonical == a_submission(1).canonical
    assert (item.attempt, item.queued_at) == (1, NOON)


def test_a_postbus_is_read_page_by_page(ledger: SqlLedger) -> None:
    ledger.record(many(5), admitting(Channel.POSTBUS), NOON)

    pages, cursor = [], 0
    while page := ledger.postbus(MUNICIPALITY, limit=2, after=cursor):
        pages.append(numbers([each for _, each in page]))
        cursor = page[-1][0]

    assert pages == [[1, 2], [3, 4], [5]]


def test_a_page_of_a_postbus_ends_at_a_number_of_bytes_but_holds_one(ledger: SqlLedger) -> None:
    ledger.record(many(4), admitting(Channel.POSTBUS), NOON)
    size = len(a_submission(1).canonical)

    def page(budget: int) -> list[int]:
        found = ledger.postbus(MUNICIPALITY, limit=3, budget=budget)
        return numbers([each for _, each in found])

    assert page(0) == [1]
    assert page(2 * size) == [1, 2]
    assert page(2 * size - 1) == [1]
    assert page(9 * size) == [1, 2, 3]


def test_a_postbus_can_be_listed_without_content(ledger: SqlLedger) -> None:
    ledger.record(many(2), admitting(Channel.POSTBUS), NOON)

    full = ledger.postbus(MUNICIPALITY, limit=9)
    listed = ledger.postbus(MUNICIPALITY, limit=9, budget=None)

    assert listed == [(cursor, replace(each, canonical=b"")) for cursor, each in full]


def test_a_postbus_waits_for_what_waits_on_another_channel(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], admitting(), NOON)
    ledger.record(many(2, first=2), admitting(Channel.POSTBUS), NOON)
    ledger.record([a_submission(4)], admitting(Channel.POSTBUS, overtakes=True), NOON)
    before = numbers([each for _, each in ledger.postbus(MUNICIPALITY, limit=9)])
    nothing_lent = lend(ledger, channels=frozenset({Channel.POSTBUS}))

    conclude(ledger, State.BEVESTIGD, at=LATER)

    found = [each for _, each in ledger.postbus(MUNICIPALITY, limit=9)]
    view = ledger.message(CREDITOR, a_uuid("message", 2))
    assert view is not None
    assert (before, nothing_lent) == ([4], [])
    assert numbers(found) == [2, 3, 4]
    assert (view.state, view.offered_at) == (State.AANGEBODEN, LATER)
    assert found[0].queued_at == LATER


def test_what_needs_no_confirmation_in_a_postbus_lets_a_later_push_go(ledger: SqlLedger) -> None:
    for number, channel in enumerate((Channel.PUSH, Channel.POSTBUS, Channel.PUSH), 1):
        ledger.record([a_submission(number)], admitting(channel, awaits_confirmation=False), NOON)

    conclude(ledger, State.BEVESTIGD)

    assert ready(ledger) == [a_submission(2).delivery_id]
    assert numbers(lend(ledger)) == [3]
    assert ledger.heal(NOON) == 0


def test_nobody_sees_the_postbus_of_another(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], admitting(Channel.POSTBUS), NOON)

    assert ready(ledger, CREDITOR) == []
    assert ledger.postbus_item(CREDITOR, a_submission(1).delivery_id) is None


def test_a_postbus_lists_no_other_channel(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], admitting(Channel.QUEUE), NOON)
    conclude(ledger, State.AANGEBODEN)

    assert ready(ledger) == []


def test_what_was_named_on_a_queue_can_be_fetched_as_soon_as_it_was_tried(
    ledger: SqlLedger,
) -> None:
    ledger.record([a_submission(1)], admitting(Channel.QUEUE), NOON)
    mine = a_submission(1).delivery_id

    before = ledger.postbus_item(MUNICIPALITY, mine)
    lend(ledger)

    item = ledger.postbus_item(MUNICIPALITY, mine)
    assert before is None
    assert item is not None
    assert item.id == mine
    assert ledger.postbus_item(STRANGER, mine) is None


def test_what_is_pushed_is_not_fetched(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], admitting(Channel.PUSH), NOON)
    conclude(ledger, State.BEVESTIGD)

    assert ledger.postbus_item(MUNICIPALITY, a_submission(1).delivery_id) is None
    assert ledger.original(MUNICIPALITY, a_submission(1).delivery_id) is None


def test_the_original_is_what_was_sent(ledger: SqlLedger) -> None:
    sent = a_submission(
        1, body=b'{"a":1}', dialect=Dialect.JSON, signature="eyJ..abc", digest_header="SHA-256=x"
    )
    ledger.record([sent], admitting(Channel.POSTBUS), NOON)

    original = ledger.original(MUNICIPALITY, sent.delivery_id)

    assert original is not None
    assert (original.body, original.dialect) == (b'{"a":1}', Dialect.JSON)
    assert (original.signature, original.digest) == ("eyJ..abc", "SHA-256=x")
    assert original.sha256 == sent.digest  # the builder hashes the body
    assert (original.afzender, original.kind, original.versie) == (CREDITOR, KENNISGEVING, "2.0")
    assert (original.signer_fingerprint, original.signer_algorithm) == ("f" * 64, "PS256")
    assert original.received_at == NOON
    assert ledger.original(CREDITOR, sent.delivery_id) is None


def test_a_confirmed_item_leaves_the_list_but_can_still_be_read(ledger: SqlLedger) -> None:
    ledger.record(many(2), admitting(Channel.POSTBUS), NOON)
    first = a_submission(1).delivery_id

    ledger.confirm(MUNICIPALITY, [first], LATER)

    item = ledger.postbus_item(MUNICIPALITY, first)
    assert ready(ledger) == [a_submission(2).delivery_id]
    assert item is not None
    assert item.id == first


def test_a_confirmation_counts_once_and_may_be_repeated(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], admitting(Channel.POSTBUS), NOON)
    mine = a_submission(1).delivery_id

    first = ledger.confirm(MUNICIPALITY, [mine, mine], LATER)
    again = ledger.confirm(MUNICIPALITY, [mine], LATER + timedelta(days=1))

    view = ledger.message(CREDITOR, a_uuid("message", 1))
    assert view is not None
    assert (first, again) == ({mine: Confirmed.NOW}, {mine: Confirmed.BEFORE})
    assert (view.state, view.confirmed_at) == (State.BEVESTIGD, LATER)


def test_each_confirmation_has_its_own_outcome(ledger: SqlLedger) -> None:
    ledger.record(strangers_to_each_other(1), admitting(Channel.POSTBUS), NOON)
    ledger.record(strangers_to_each_other(1, first=2), admitting(Channel.QUEUE), NOON)
    ledger.record(strangers_to_each_other(1, first=3), admitting(Channel.POSTBUS), NOON)
    ledger.strand([Stranding(a_submission(3).delivery_id, Reason.GEWEIGERD, "", NOON)])
    offered, waiting, stranded = (a_submission(number).delivery_id for number in (1, 2, 3))
    unknown = a_uuid("unknown")

    outcomes = ledger.confirm(MUNICIPALITY, [offered, waiting, stranded, unknown], LATER)

    assert outcomes == {
        offered: Confirmed.NOW,
        waiting: Confirmed.NOT_OFFERED,
        stranded: Confirmed.NOT_OFFERED,
        unknown: Confirmed.UNKNOWN,
    }
    assert ledger.confirm(MUNICIPALITY, [], LATER) == {}


def test_nobody_confirms_for_another(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], admitting(Channel.POSTBUS), NOON)
    mine = a_submission(1).delivery_id

    assert ledger.confirm(STRANGER, [mine], LATER) == {mine: Confirmed.UNKNOWN}
    assert ready(ledger) == [mine]


def test_a_push_that_may_have_arrived_is_not_confirmed_by_the_postbus(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], admitting(Channel.PUSH), NOON)
    (lent,) = lend(ledger)

    assert ledger.confirm(MUNICIPALITY, [lent.id], LATER) == {lent.id: Confirmed.NOT_OFFERED}


def test_a_confirmation_lets_the_next_go(ledger: SqlLedger) -> None:
    ledger.record(many(3), admitting(Channel.QUEUE), NOON)
    (first,) = conclude(ledger, State.AANGEBODEN)

    ledger.confirm(MUNICIPALITY, [first.id], LATER)

    assert numbers(lend(ledger, at=LATER)) == [2]


def test_five_thousand_confirmations_are_one_call(ledger: SqlLedger) -> None:
    batch = strangers_to_each_other(2_500)
    behind = [
        a_submission(5_000 + number, conversatie=each.message.header.conversatie)
        for number, each in enumerate(batch)
    ]
    ledger.record([*batch, *behind], admitting(Channel.POSTBUS), NOON)
    everything = ready_in_pages(ledger)

    outcomes = ledger.confirm(MUNICIPALITY, everything, LATER)

    assert len(outcomes) == 5_000
    assert set(outcomes.values()) == {Confirmed.NOW}
    assert ready(ledger) == []


def ready_in_pages(ledger: SqlLedger) -> list[str]:
    found, cursor = [], 0
    while page := ledger.postbus(MUNICIPALITY, limit=1_000, after=cursor):
        found += [each.id for _, each in page]
        cursor = page[-1][0]
    return found


@pytest.mark.parametrize("party", [CREDITOR, MUNICIPALITY])
def test_both_parties_see_a_message(ledger: SqlLedger, party: Oin) -> None:
    ledger.record([a_submission(1, door=Door.QUEUE)], admitting(Channel.QUEUE), NOON)

    view = ledger.message(party, a_uuid("message", 1))

    assert view is not None
    assert (view.afzender, view.ontvanger, view.kind) == (CREDITOR, MUNICIPALITY, KENNISGEVING)
    assert (view.referentienummer, view.conversatie) == (
        a_uuid("message", 1),
        a_uuid("conversation", 1),
    )
    assert (view.state, view.channel, view.attempts) == (State.WACHT, Channel.QUEUE, 0)
    assert (view.door, view.received_at, view.reason) == (Door.QUEUE, NOON, None)
    assert a_submission(1).receipt_id.encode() in view.receipt


def test_nobody_else_sees_a_message(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], admitting(), NOON)

    assert ledger.message(STRANGER, a_uuid("message", 1)) is None
    assert ledger.message(CREDITOR, a_uuid("message", 2)) is None


def test_the_sender_tells_apart_what_has_the_same_number(ledger: SqlLedger) -> None:
    mine = a_submission(1, afzender=MUNICIPALITY, ontvanger=CREDITOR)
    ledger.record([a_submission(1), a_submission(1, afzender=STRANGER), mine], admitting(), NOON)
    number = a_uuid("message", 1)

    found = [
        ledger.message(MUNICIPALITY, number, afzender)
        for afzender in (None, CREDITOR, STRANGER, MUNICIPALITY)
    ]

    senders = [view and view.afzender for view in found]
    assert senders == [MUNICIPALITY, CREDITOR, STRANGER, MUNICIPALITY]
    assert ledger.message(CREDITOR, number, STRANGER) is None
