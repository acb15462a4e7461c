"""Every ledger keeps each message once, with its delivery, a batch in one transaction."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from traceback import format_exception

import pytest
import sqlalchemy as sa

from gateway.adapters.ledger import tables
from gateway.adapters.ledger.database import LedgerBug
from gateway.adapters.ledger.ledger import SqlLedger
from gateway.delivery import State
from gateway.errors import Code, Finding, Refusal, Severity
from gateway.message import Admitted, Channel, Dialect, Door, Receipt, Submission, Talk
from gateway.record import RefusalEntry
from tests.conformance.delivering import at_once, lend, numbers, rows
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
    refusing,
    strangers_to_each_other,
)


def nobody(_: Submission, talk: Talk) -> Admitted:
    raise AssertionError("admit was asked about a message that is known")


def code_of(outcome: object) -> Code:
    assert isinstance(outcome, Refusal)
    return outcome.code


def count(ledger: SqlLedger, table: sa.Table) -> int:
    return int(rows(ledger, sa.select(sa.func.count()).select_from(table))[0][0])


def test_a_recorded_message_is_lent_out_as_it_was_sent(ledger: SqlLedger) -> None:
    warning = Finding("BEDRAG_AFGEROND", "/kennisgeving/bedrag", None, Severity.WAARSCHUW)
    submission = a_submission(
        1,
        at=NOON - timedelta(microseconds=1),
        dialect=Dialect.JSON,
        door=Door.REST_JSON,
        signature="eyJ..abc",
        digest_header="SHA-256=abc",
        warnings=(warning,),
    )

    (receipt,) = ledger.record([submission], admitting(), NOON)
    (delivery,) = lend(ledger)

    assert isinstance(receipt, Receipt)
    assert not receipt.repeated
    assert receipt.referentienummer == submission.message.header.referentienummer
    assert delivery.id == submission.delivery_id
    assert (delivery.ontvanger, delivery.afzender) == (MUNICIPALITY, CREDITOR)
    assert (delivery.channel, delivery.kind) == (Channel.PUSH, KENNISGEVING)
    assert (delivery.volgnummer, delivery.attempt, delivery.queued_at) == (1, 1, NOON)
    assert delivery.received_at == NOON - timedelta(microseconds=1)
    assert delivery.canonical == submission.canonical
    assert delivery.original_sha256 == submission.digest  # the builder hashes the body
    assert delivery.original_dialect is Dialect.JSON
    assert delivery.signer_fingerprint == "f" * 64
    assert delivery.warnings == ({"regel": "BEDRAG_AFGEROND", "pad": "/kennisgeving/bedrag"},)


def test_the_original_bytes_and_what_signed_them_are_kept(ledger: SqlLedger) -> None:
    submission = a_submission(
        1, body=b"\x00\xff{}", signature="eyJ..abc", digest_header="SHA-256=x"
    )

    ledger.record([submission], admitting(Channel.POSTBUS), NOON)

    original = ledger.original(MUNICIPALITY, submission.delivery_id)
    assert original is not None
    assert (original.body, original.signature, original.digest) == (
        b"\x00\xff{}",
        "eyJ..abc",
        "SHA-256=x",
    )


def test_a_repeat_gets_the_first_receipt_byte_for_byte_without_admit(ledger: SqlLedger) -> None:
    (first,) = ledger.record([a_submission(1)], admitting(), NOON)
    repeat = a_submission(1, receipt_id=a_uuid("later"), delivery_id=a_uuid("other"))

    (again,) = ledger.record([repeat], nobody, NOON + timedelta(days=2))

    assert isinstance(first, Receipt)
    assert again == replace(first, repeated=True)
    assert len(lend(ledger, at=NOON + timedelta(days=3))) == 1


def test_the_same_number_with_other_content_is_a_conflict(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], admitting(), NOON)

    (outcome,) = ledger.record([a_submission(1, body=b"<anders/>")], nobody, NOON)

    assert code_of(outcome) is Code.BERICHT_CONFLICT
    assert count(ledger, tables.message) == 1


def test_the_same_number_from_another_sender_is_another_message(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], admitting(), NOON)

    (outcome,) = ledger.record([a_submission(1, afzender=STRANGER)], admitting(), NOON)

    assert isinstance(outcome, Receipt)
    assert not outcome.repeated
    assert len(lend(ledger)) == 2


def test_one_refused_message_never_fails_its_batch(ledger: SqlLedger) -> None:
    batch = strangers_to_each_other(3)

    first, second, third = ledger.record(batch, refusing(2), NOON)

    assert isinstance(first, Receipt)
    assert code_of(second) is Code.GEEN_RECHT
    assert isinstance(third, Receipt)
    assert len(lend(ledger)) == 2


def test_a_refused_message_leaves_no_trace_and_may_come_again(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], refusing(1), NOON)
    before = [count(ledger, each) for each in (tables.message, tables.conversation)]

    (outcome,) = ledger.record([a_submission(1)], admitting(), NOON)

    assert before == [0, 0]
    assert isinstance(outcome, Receipt)
    assert not outcome.repeated


def test_the_same_message_twice_in_a_batch_is_recorded_once(ledger: SqlLedger) -> None:
    twin = a_submission(1, receipt_id=a_uuid("twin"), delivery_id=a_uuid("twin"))

    first, second = ledger.record([a_submission(1), twin], admitting(), NOON)

    assert isinstance(first, Receipt)
    assert second == replace(first, repeated=True)
    assert len(lend(ledger)) == 1


def test_two_contents_under_one_number_in_a_batch_are_a_conflict(ledger: SqlLedger) -> None:
    other = a_submission(1, body=b"<anders/>", delivery_id=a_uuid("other"))

    first, second = ledger.record([a_submission(1), other], admitting(), NOON)

    assert isinstance(first, Receipt)
    assert code_of(second) is Code.BERICHT_CONFLICT


def test_a_bug_in_the_middle_of_a_batch_leaves_nothing_of_it(ledger: SqlLedger) -> None:
    def stumble(submission: Submission, talk: Talk) -> Admitted:
        if submission.canonical == a_submission(2).canonical:
            raise ZeroDivisionError
        return admitting()(submission, talk)

    with pytest.raises(ZeroDivisionError):
        ledger.record(many(3), stumble, NOON)

    tables_of_a_message = (tables.message, tables.conversation, tables.delivery)
    assert [count(ledger, each) for each in tables_of_a_message] == [0, 0, 0]


def test_what_the_database_refuses_is_told_without_content(ledger: SqlLedger) -> None:
    secret = b"<naam>Wilhelmina Kanarie</naam>"
    ledger.record([a_submission(1)], admitting(), NOON)
    clash = a_submission(2, body=secret, canonical=secret, delivery_id=a_submission(1).delivery_id)

    with pytest.raises(LedgerBug) as caught:
        ledger.record([clash], admitting(), NOON)

    assert "Kanarie" not in "".join(format_exception(caught.value))


def test_an_empty_batch_has_no_outcomes(ledger: SqlLedger) -> None:
    assert ledger.record([], nobody, NOON) == []


def test_each_direction_of_a_conversation_counts_for_itself(ledger: SqlLedger) -> None:
    there = many(2)
    back = many(1, first=3, afzender=MUNICIPALITY, ontvanger=CREDITOR)

    ledger.record([*there, *back], admitting(awaits_confirmation=False), NOON)
    ledger.record(many(1, first=4), admitting(), NOON)

    found = rows(ledger, sa.select(tables.delivery).order_by(tables.delivery.c.id))
    assert [(row.ontvanger, row.volgnummer) for row in found] == [
        (MUNICIPALITY, 1),
        (MUNICIPALITY, 2),
        (CREDITOR, 1),
        (MUNICIPALITY, 3),
    ]


def test_who_borrows_the_id_of_a_conversation_cannot_hold_it_up(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1, afzender=STRANGER)], admitting(), NOON)
    ledger.record([a_submission(2)], admitting(), NOON)

    lent = lend(ledger)

    assert numbers(lent) == [1, 1]
    assert {each.afzender for each in lent} == {STRANGER, CREDITOR}


def test_a_message_to_oneself_is_numbered_too(ledger: SqlLedger) -> None:
    ledger.record(many(2, ontvanger=CREDITOR), admitting(Channel.POSTBUS), NOON)

    assert numbers([each for _, each in ledger.postbus(CREDITOR, limit=9)]) == [1, 2]


def test_two_processes_keep_the_same_messages_once(
    two_ledgers: tuple[SqlLedger, SqlLedger],
) -> None:
    sent = strangers_to_each_other(40)

    def batch_of(name: str) -> list[Submission]:
        drawn = [
            replace(each, receipt_id=a_uuid(name, each), delivery_id=a_uuid(name, each, "d"))
            for each in sent
        ]
        random.Random(name).shuffle(drawn)
        return drawn

    mine, yours = batch_of("mine"), batch_of("yours")

    outcomes = at_once(
        lambda: two_ledgers[0].record(mine, admitting(), NOON),
        lambda: two_ledgers[1].record(yours, admitting(), NOON),
    )

    receipts: dict[str, set[bytes]] = {}
    first = 0
    for outcome in (*outcomes[0], *outcomes[1]):
        assert isinstance(outcome, Receipt)
        receipts.setdefault(outcome.referentienummer, set()).add(outcome.document)
        first += not outcome.repeated
    assert first == 40
    assert all(len(documents) == 1 for documents in receipts.values())
    assert len(lend(two_ledgers[0])) == 40


def test_two_processes_give_out_volgnummers_without_gaps(
    two_ledgers: tuple[SqlLedger, SqlLedger],
) -> None:
    one, other = two_ledgers

    def write(ledger: SqlLedger, first: int) -> None:
        for turn in range(10):
            sent_to_both = a_submission(1 + turn)
            own = many(3, first=first + 3 * turn)
            ledger.record([sent_to_both, *own], admitting(), NOON)

    at_once(lambda: write(one, 1_000), lambda: write(other, 2_000))

    given = rows(one, sa.select(tables.delivery.c.volgnummer))
    (conversation,) = rows(one, sa.select(tables.conversation))
    assert sorted(row.volgnummer for row in given) == list(range(1, 71))
    assert conversation.last_to_b == 70


def test_refusals_are_recorded_without_content(ledger: SqlLedger) -> None:
    known = RefusalEntry(NOON, Door.REST_XML, Code.SCHEMA_ONGELDIG, CREDITOR, a_uuid("message", 1))
    sampled = RefusalEntry(NOON, Door.REST_JSON, Code.CERTIFICAAT_ONBEKEND, count=250)

    ledger.refuse([known, sampled])
    ledger.refuse([])

    found = rows(ledger, sa.select(tables.refusal).order_by(tables.refusal.c.id))
    assert [(row.code, row.party, row.count) for row in found] == [
        ("SCHEMA_ONGELDIG", CREDITOR, 1),
        ("CERTIFICAAT_ONBEKEND", None, 250),
    ]


@pytest.mark.parametrize(
    ("channel", "state"),
    [
        (Channel.PUSH, State.WACHT),
        (Channel.QUEUE, State.WACHT),
        (Channel.POSTBUS, State.AANGEBODEN),
    ],
)
def test_a_postbus_has_its_delivery_at_once_and_a_channel_has_to_take_it(
    ledger: SqlLedger, channel: Channel, state: State
) -> None:
    ledger.record([a_submission(1)], admitting(channel), NOON)

    view = ledger.message(CREDITOR, a_uuid("message", 1))

    assert view is not None
    assert view.state is state
    assert view.offered_at == (NOON if state is State.AANGEBODEN else None)
