"""What the ledger records it can prove, to whoever holds a receipt, and in one log per process."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from fixtures.keyring import a_keyring
from gateway import json
from gateway.adapters.ledger.journal import Entry
from gateway.adapters.ledger.ledger import SqlLedger
from gateway.adapters.ledger.tables import checkpoint, evidence
from gateway.adapters.published_keys import verifier
from gateway.delivery import State
from gateway.errors import Refusal
from gateway.evidence import accepted_entry, proof_of, stands, without_proof
from gateway.exhibits import judge
from gateway.message import Channel, Receipt
from gateway.record import Confirmed, Outcome
from tests.conformance.delivering import at_once, conclude, rows, stranding
from tests.conformance.submissions import (
    CREDITOR,
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


class Broken(Exception):
    """Something that ends a transaction."""


def receipts(outcomes: list[Outcome]) -> list[bytes]:
    return [each.document for each in outcomes if isinstance(each, Receipt)]


def soorten(ledger: SqlLedger) -> list[str]:
    """What was written, in order of a single log."""
    query = sa.select(evidence.c.soort).order_by(evidence.c.number, evidence.c.place)
    return [row.soort for row in rows(ledger, query)]


def logs(ledger: SqlLedger) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    order = (checkpoint.c.log, checkpoint.c.number)
    for row in rows(ledger, sa.select(*order).order_by(*order)):
        found[row.log].append(row.number)
    return dict(found)


@pytest.mark.parametrize("count", [1, 2, 3, 32])
def test_the_receipt_of_every_accepted_message_verifies(ledger: SqlLedger, count: int) -> None:
    verify = verifier(a_keyring().signing.published())

    told = receipts(ledger.record(strangers_to_each_other(count), admitting(), NOON))

    assert len(told) == count
    for document in told:
        judged = judge("ontvangst", json.parse(document), verify, None)
        assert judged.flaws == []
        assert judged.proven


def test_a_receipt_names_the_bytes_as_they_were_sent(ledger: SqlLedger) -> None:
    verify = verifier(a_keyring().signing.published())
    sent = a_submission(1)
    [document] = receipts(ledger.record([sent], admitting(), NOON))
    body = sent.message.verified.received.body

    assert judge("ontvangst", json.parse(document), verify, body).flaws == []
    assert judge("ontvangst", json.parse(document), verify, body + b" ").flaws != []


def test_a_repeat_gets_the_same_receipt_with_the_same_proof(ledger: SqlLedger) -> None:
    batch = many(3)
    first = receipts(ledger.record(batch, admitting(), NOON))

    again = receipts(ledger.record([*reversed(batch), batch[0]], admitting(), NOON))

    assert again == [first[2], first[1], first[0], first[0]]
    assert b'"bewijs"' in first[0]
    view = ledger.message(CREDITOR, a_uuid("message", 1))
    assert view is not None
    assert view.receipt == first[0]


def test_a_repeat_in_one_batch_and_a_refused_one_leave_one_entry(ledger: SqlLedger) -> None:
    outcomes = ledger.record([*many(2), a_submission(1)], refusing(2), NOON)

    assert isinstance(outcomes[1], Refusal)
    assert soorten(ledger) == ["aangenomen"]
    assert outcomes[0].document == outcomes[2].document  # type: ignore[union-attr]


def test_everything_that_happens_to_a_delivery_leaves_its_entry(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], admitting(), NOON)
    conclude(ledger, State.GESTRAND)
    ledger.replay([1], by="beheer", why="proef", at=NOON)
    conclude(ledger, State.AANGEBODEN)
    assert ledger.confirm(MUNICIPALITY, [a_submission(1).delivery_id], NOON) == {
        a_submission(1).delivery_id: Confirmed.NOW
    }
    ledger.record([a_submission(2)], admitting(Channel.POSTBUS), NOON)
    ledger.strand([stranding(2)])
    ledger.release([2], by="beheer", why="proef", at=NOON)
    ledger.discard([2], by="beheer", why="proef", at=NOON)
    ledger.apply_directory("{}", base=0, by="beheer", at=NOON)

    assert soorten(ledger) == [
        "aangenomen",
        "poging",
        "herhaald",
        "poging",
        "bevestigd",
        "aangenomen",
        "gestrand",
        "vrijgegeven",
        "verworpen",
        "deelnemers",
    ]
    assert ledger.audit() == []


def test_what_changed_nothing_leaves_no_entry(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], admitting(Channel.POSTBUS), NOON)
    mine = a_submission(1).delivery_id
    ledger.confirm(MUNICIPALITY, [mine], NOON)

    ledger.confirm(MUNICIPALITY, [mine], NOON)
    ledger.confirm(STRANGER, [mine], NOON)
    ledger.strand([stranding(1)])
    ledger.replay([7], by="beheer", why="proef", at=NOON)

    assert soorten(ledger) == ["aangenomen", "bevestigd"]


def test_a_transaction_that_was_given_up_leaves_no_gap_and_no_fork(ledger: SqlLedger) -> None:
    ledger.record(many(1), admitting(), NOON)
    before = logs(ledger)

    with pytest.raises(Broken):
        _write_and_break(ledger)
    ledger.record(many(1, first=2), admitting(), NOON)

    after = logs(ledger)
    assert after.pop(ledger._journal.log) == [1]  # nobody knows of a commit: a new log
    assert after == before
    assert ledger.audit() == []


def _write_and_break(ledger: SqlLedger) -> None:
    with ledger._journal.page() as page, ledger._database.writing() as connection:
        page.write(connection, [Entry("deelnemers", b'{"soort":"deelnemers"}')])
        raise Broken


def test_threads_of_one_process_write_one_log_without_gaps(ledger: SqlLedger) -> None:
    def accept(first: int) -> list[bytes]:
        return [
            document
            for number in range(first, first + 8)
            for document in receipts(ledger.record([_alone(number)], admitting(), NOON))
        ]

    told = at_once(*(lambda first=first: accept(first) for first in (1, 101, 201)))

    assert logs(ledger) == {ledger._journal.log: list(range(1, 25))}
    assert all(map(_verifies, (each for one in told for each in one)))
    assert ledger.audit() == []


def _alone(number: int) -> Any:
    return a_submission(number, conversatie=a_uuid("conversation", number))


def _verifies(document: bytes) -> bool:
    bare, told = without_proof(json.parse(document))
    return stands(accepted_entry(bare, told["origineelSha256"]), proof_of(told))


def test_two_processes_write_a_log_each_and_never_wait_in_a_circle(
    two_ledgers: tuple[SqlLedger, SqlLedger],
) -> None:
    one, other = two_ledgers

    def work(ledger: SqlLedger, first: int) -> None:
        for number in range(first, first + 5):
            ledger.record([_alone(number), a_submission(1000 + number % 5)], admitting(), NOON)
            conclude_some(ledger)

    at_once(lambda: work(one, 1), lambda: work(other, 101), lambda: work(one, 201))

    found = logs(one)
    assert set(found) == {one._journal.log, other._journal.log}
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in found.values())
    assert one.audit() == []


def conclude_some(ledger: SqlLedger) -> None:
    """As a courier does: take what is due and say that it arrived."""
    conclude(ledger, State.AANGEBODEN)


def test_a_day_close_names_only_the_logs_that_changed_since_the_one_before(
    ledger: SqlLedger,
) -> None:
    ledger.record(many(2), admitting(), NOON)
    ledger.close_day(NOON)
    ledger.close_day(NOON + timedelta(days=1))
    ledger._journal.begin()
    ledger._journal.clock = lambda: NOON + timedelta(days=1)
    ledger.record(many(1, first=3), admitting(), NOON)
    ledger.close_day(NOON + timedelta(days=2))

    closes = [json.parse(each["inhoud"].encode()) for each in ledger.day_closes()]

    assert [len(each["koppen"]) for each in closes] == [1, 0, 1]
    assert closes[2]["koppen"][0]["logboek"] == ledger._journal.log
    assert ledger.close_day(NOON + timedelta(days=1)) is None  # a clock that was set back
    assert ledger.audit() == []


def test_two_processes_close_a_day_once(two_ledgers: tuple[SqlLedger, SqlLedger]) -> None:
    one, other = two_ledgers
    one.record(many(1), admitting(), NOON)
    other.record(many(1, first=2), admitting(), NOON)

    closed = at_once(*(lambda each=each: each.close_day(NOON) for each in (one, other) * 2))

    assert sorted(closed, key=str) == ["2026-03-01", None, None, None]
    [close] = one.day_closes()
    content = json.parse(close["inhoud"].encode())
    assert {each["logboek"] for each in content["koppen"]} == set(logs(one))
    assert one.day_closes("2026-03-02") == []


def test_a_dossier_shows_content_to_a_recipient_only_once_it_may_fetch_it(
    ledger: SqlLedger,
) -> None:
    reference = a_uuid("message", 1)
    ledger.record([a_submission(1)], admitting(Channel.QUEUE), NOON)

    before = ledger.dossier(MUNICIPALITY, reference)
    own = ledger.dossier(CREDITOR, reference)
    conclude(ledger, State.AANGEBODEN)
    after = ledger.dossier(MUNICIPALITY, reference)

    assert before is not None
    assert own is not None
    assert after is not None
    assert (before.original, before.canonical) == (None, None)
    assert own.original == after.original
    assert own.original is not None
    assert own.original.body == a_submission(1).message.verified.received.body
    assert [each.soort for each in after.happenings] == ["poging"]
    assert all(stands(each.text, each.proof) for each in after.happenings)
    assert ledger.dossier(STRANGER, reference) is None


def test_of_two_senders_with_one_number_each_gets_its_own_dossier(ledger: SqlLedger) -> None:
    reference = a_uuid("message", 1)
    ledger.record([a_submission(1)], admitting(Channel.POSTBUS), NOON)
    ledger.record([a_submission(1, afzender=STRANGER)], admitting(Channel.POSTBUS), NOON)

    own = ledger.dossier(STRANGER, reference)
    named = ledger.dossier(MUNICIPALITY, reference, STRANGER)

    assert own is not None
    assert named is not None
    assert own.view.afzender == named.view.afzender == STRANGER
    assert ledger.dossier(CREDITOR, reference, STRANGER) is None
