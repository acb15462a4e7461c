"""What was kept long enough goes, and nothing else; what is left says nothing of content."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from fixtures.keyring import a_keyring
from fixtures.rules import courses
from gateway.adapters.ledger.ledger import SqlLedger, open_ledger
from gateway.adapters.ledger.retention import Cursor, Swept
from gateway.adapters.ledger.tables import (
    assertion,
    attachment,
    attempt,
    checkpoint,
    conversation,
    dead_letter,
    delivery,
    evidence,
    message,
    person,
    refusal,
)
from gateway.adapters.upkeep import sweep_batches
from gateway.delivery import State
from gateway.errors import Code
from gateway.message import Channel, Door
from gateway.record import Confirmed, RefusalEntry
from gateway.routing.retention import read
from tests.conformance.delivering import (
    conclude,
    dead,
    garbage,
    lend,
    rows,
    state_of,
    stranding,
)
from tests.conformance.submissions import (
    MUNICIPALITY,
    NOON,
    a_submission,
    a_uuid,
    admitting,
    many,
    strangers_to_each_other,
)
from tests.conformance.test_ledger_plans import listening, whole_tables_read
from tests.conformance.test_ledger_sealing import INHOUD, with_attachment

DAY = timedelta(days=1)
TERMS = read()
RULES = courses()
CONTENT_GOES, METADATA_GOES = NOON + 31 * DAY, NOON + 2_560 * DAY
TABLES = (attachment, attempt, conversation, dead_letter, delivery, evidence, message, person)


def swept(ledger: SqlLedger, at: Any, *, limit: int = 100, **how: Any) -> dict[str, int]:
    """Sweep to the end; how many went of each."""
    counts: dict[str, int] = {}
    after: Cursor | None = None
    while True:
        step: Swept = ledger.sweep(TERMS, {}, rules=RULES, now=at, limit=limit, after=after, **how)
        for (what, _), count in step.counts.items():
            counts[what] = counts.get(what, 0) + count
        after = step.after
        if after is None:
            return counts


def count(ledger: SqlLedger, table: sa.Table) -> int:
    return int(rows(ledger, sa.select(sa.func.count()).select_from(table))[0][0])


def test_content_goes_after_its_term_and_what_is_left_says_nothing_of_it(
    ledger: SqlLedger,
) -> None:
    ledger.record([with_attachment(signature="eyJ", digest_header="sha-256=x")], admitting(), NOON)
    conclude(ledger, State.BEVESTIGD)

    assert swept(ledger, NOON + 1 * DAY) == {}
    assert swept(ledger, CONTENT_GOES) == {"inhoud": 1}
    assert swept(ledger, CONTENT_GOES) == {}

    left = rows(ledger, sa.select(message))[0]
    assert left.erased_at == CONTENT_GOES
    for name in (
        *("wrapped_key", "key_version", "canonical", "original", "original_sha256"),
        *("signature", "digest_header"),
    ):
        assert getattr(left, name) is None
    assert count(ledger, attachment) == 0
    assert rows(ledger, sa.select(attempt.c.sent_sha256))[0].sent_sha256 is None
    about_it = rows(ledger, sa.select(evidence).where(evidence.c.message.is_not(None)))
    assert {(row.salt, row.entry) for row in about_it} == {(None, None)}
    assert len(rows(ledger, sa.select(checkpoint))) >= 2  # the chain stays whole


def test_that_content_went_after_its_term_is_signed_and_the_audit_agrees(
    ledger: SqlLedger,
) -> None:
    ledger.record(strangers_to_each_other(3), admitting(), NOON)
    conclude(ledger, State.BEVESTIGD)
    swept(ledger, CONTENT_GOES, trial=True)
    swept(ledger, CONTENT_GOES)
    swept(ledger, CONTENT_GOES)

    (entry,) = rows(ledger, sa.select(evidence.c.entry).where(evidence.c.soort == "gewist"))
    told = json.loads(entry.entry)
    assert (told["grond"], told["aantal"], len(told["berichtenSha256"])) == ("bewaartermijn", 3, 64)
    assert ledger.audit() == []


def test_a_repeat_of_what_was_erased_gets_the_first_receipt_without_its_proof(
    ledger: SqlLedger,
) -> None:
    sent = a_submission()
    (first,) = ledger.record([sent], admitting(), NOON)
    conclude(ledger, State.BEVESTIGD)
    swept(ledger, CONTENT_GOES)

    (again,) = ledger.record([sent], admitting(), CONTENT_GOES)
    (other,) = ledger.record([a_submission(body=b"<anders/>")], admitting(), CONTENT_GOES)

    with_proof, bare = json.loads(first.document), json.loads(again.document)  # type: ignore[union-attr]
    assert with_proof["ontvangstbevestiging"].pop("bewijs")
    assert bare == with_proof
    assert other.code is Code.BERICHT_CONFLICT  # type: ignore[union-attr]


def test_what_was_erased_cannot_be_fetched_and_its_delivery_is_still_answered(
    ledger: SqlLedger,
) -> None:
    sent = a_submission()
    ledger.record([sent], admitting(Channel.POSTBUS), NOON)
    ledger.confirm(MUNICIPALITY, [sent.delivery_id], NOON)
    swept(ledger, CONTENT_GOES)

    assert ledger.postbus_item(MUNICIPALITY, sent.delivery_id) is None
    assert ledger.original(MUNICIPALITY, sent.delivery_id) is None
    assert ledger.confirm(MUNICIPALITY, [sent.delivery_id], CONTENT_GOES) == {
        sent.delivery_id: Confirmed.BEFORE
    }
    assert state_of(ledger) is State.BEVESTIGD


def test_what_still_has_to_be_delivered_is_left_alone(ledger: SqlLedger) -> None:
    ledger.record(many(2), admitting(), NOON)
    ledger.record(strangers_to_each_other(1, first=10), admitting(Channel.POSTBUS), NOON)
    ledger.record(strangers_to_each_other(1, first=20), admitting(), NOON)
    ledger.strand([stranding(20)])

    assert swept(ledger, NOON + 364 * DAY) == {}
    assert len(lend(ledger)) == 1


def test_what_is_never_delivered_is_given_up_and_erased_at_once(ledger: SqlLedger) -> None:
    ledger.record(many(2), admitting(), NOON)
    ledger.record(strangers_to_each_other(1, first=10), admitting(Channel.POSTBUS), NOON)
    ledger.record(strangers_to_each_other(1, first=20), admitting(), NOON)
    ledger.strand([stranding(20)])
    late = NOON + 366 * DAY

    assert swept(ledger, late) == {"onbezorgd": 4}
    assert {state_of(ledger, number) for number in (1, 2, 10, 20)} == {State.VERWORPEN}
    assert dead(ledger) == []
    assert {row.wrapped_key for row in rows(ledger, sa.select(message))} == {None}
    assert swept(ledger, late + 31 * DAY) == {}
    assert ledger.audit() == []


def test_who_needs_no_confirmation_is_done_when_it_was_offered(ledger: SqlLedger) -> None:
    ledger.record(many(1), admitting(awaits_confirmation=False), NOON)
    conclude(ledger, State.AANGEBODEN)

    assert swept(ledger, CONTENT_GOES) == {"inhoud": 1}


def test_a_trial_counts_and_changes_nothing(ledger: SqlLedger) -> None:
    ledger.record(many(3), admitting(), NOON)
    conclude(ledger, State.BEVESTIGD)
    conclude(ledger, State.BEVESTIGD)
    conclude(ledger, State.BEVESTIGD)

    assert swept(ledger, CONTENT_GOES, trial=True) == {"inhoud": 3}
    assert swept(ledger, CONTENT_GOES, trial=True) == {"inhoud": 3}


def test_small_batches_reach_the_same_as_a_large_one(ledger: SqlLedger) -> None:
    ledger.record(strangers_to_each_other(7), admitting(), NOON)
    conclude(ledger, State.BEVESTIGD)
    ledger.record(strangers_to_each_other(2, first=50), admitting(), NOON)

    assert swept(ledger, CONTENT_GOES, limit=2) == {"inhoud": 7}


def test_long_after_that_the_message_is_forgotten_with_all_that_hung_on_it(
    ledger: SqlLedger,
) -> None:
    kept = a_submission(99)
    ledger.record(strangers_to_each_other(3), admitting(), NOON)
    ledger.strand([stranding(2)])
    conclude(ledger, State.BEVESTIGD)
    ledger.discard([each.id for each in dead(ledger)], by="ada", why="proef", at=NOON)
    ledger.record([kept], admitting(), METADATA_GOES - DAY)
    swept(ledger, CONTENT_GOES)

    assert ledger.forget(TERMS, {}, now=NOON + 2_000 * DAY, limit=9).counts.total() == 0
    assert ledger.forget(TERMS, {}, now=METADATA_GOES, limit=9).counts.total() == 3

    assert {table.name: count(ledger, table) for table in TABLES} == {
        "attachment": 0,
        "attempt": 0,
        "conversation": 1,
        "dead_letter": 0,
        "delivery": 1,
        "evidence": 2,  # one is that content was erased
        "message": 1,
        "person": 0,
    }
    assert len(lend(ledger, at=METADATA_GOES)) == 1


def test_a_conversation_that_goes_on_keeps_its_numbering(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], admitting(), NOON)
    conclude(ledger, State.BEVESTIGD)
    ledger.record([a_submission(2)], admitting(), METADATA_GOES - DAY)
    swept(ledger, CONTENT_GOES)
    ledger.forget(TERMS, {}, now=METADATA_GOES, limit=9)

    ledger.record([a_submission(3)], admitting(), METADATA_GOES)

    found = rows(ledger, sa.select(delivery.c.volgnummer).order_by(delivery.c.volgnummer))
    assert [row.volgnummer for row in found] == [2, 3]


def test_refusals_used_assertions_and_garbage_go(ledger: SqlLedger) -> None:
    ledger.refuse([RefusalEntry(NOON, Door.REST_XML, Code.GEEN_RECHT)])
    ledger.assertion_seen("a", NOON + DAY, NOON)
    ledger.strand([garbage()])

    assert ledger.tidy(TERMS, now=NOON + timedelta(hours=1), limit=9).total() == 0
    ledger.tidy(TERMS, now=NOON + 91 * DAY, limit=9)

    assert (count(ledger, refusal), count(ledger, assertion)) == (0, 0)
    assert dead(ledger) == []
    assert rows(ledger, sa.select(dead_letter.c.garbage))[0].garbage is None


def test_the_hourly_course_does_all_of_it(ledger: SqlLedger) -> None:
    ledger.record(strangers_to_each_other(3), admitting(), NOON)
    conclude(ledger, State.BEVESTIGD)
    ledger.refuse([RefusalEntry(NOON, Door.REST_XML, Code.GEEN_RECHT)])

    def course(at: Any) -> dict[str, int]:
        batches = sweep_batches(ledger, TERMS, RULES, lambda: at)
        return {what: number for batch in batches for (what, _), number in batch().items()}

    assert course(CONTENT_GOES) == {"inhoud": 3}
    assert course(METADATA_GOES) == {"gegevens": 3, "weigeringen": 1}


def test_a_sweep_reads_nothing_that_is_not_due(ledger: SqlLedger) -> None:
    ledger.record(strangers_to_each_other(200), admitting(), NOON)
    conclude(ledger, State.BEVESTIGD)
    conclude(ledger, State.BEVESTIGD)
    with ledger._database.writing() as connection:
        connection.execute(sa.text("ANALYZE"))

    with listening(ledger) as asked:
        step = ledger.sweep(TERMS, {}, rules=RULES, now=CONTENT_GOES, limit=50)
        ledger.sweep(TERMS, {}, rules=RULES, now=CONTENT_GOES, limit=50, after=step.after)
        ledger.forget(TERMS, {}, now=METADATA_GOES, limit=50)
        ledger.tidy(TERMS, now=METADATA_GOES, limit=50)

    assert len(asked) > 8
    assert whole_tables_read(ledger, asked) == []


def test_what_was_erased_is_not_in_the_file_any_more(tmp_path: Path, migrated_file: Path) -> None:
    file = tmp_path / "ledger.db"
    file.write_bytes(migrated_file.read_bytes())
    ledger = open_ledger(f"sqlite:///{file}", a_keyring())
    ledger.record(strangers_to_each_other(20), admitting(), NOON)
    conclude(ledger, State.BEVESTIGD)
    found = rows(ledger, sa.select(message.c.wrapped_key, message.c.original))
    sealed = [each for row in found for each in row]
    swept(ledger, CONTENT_GOES)
    ledger.close()

    left = b"".join(each.read_bytes() for each in tmp_path.iterdir())
    assert not [each for each in sealed if each[:24] in left]


def test_what_needed_no_confirmation_leaves_the_postbus_with_its_content(
    ledger: SqlLedger,
) -> None:
    to_postbus = admitting(Channel.POSTBUS, awaits_confirmation=False)
    ledger.record(strangers_to_each_other(2), to_postbus, NOON)
    swept(ledger, CONTENT_GOES)
    (new,) = strangers_to_each_other(1, first=3)
    ledger.record([new], to_postbus, CONTENT_GOES)

    page = ledger.postbus(MUNICIPALITY, limit=2)
    names = ledger.postbus(MUNICIPALITY, limit=2, budget=None)

    assert [each.id for _, each in page] == [new.delivery_id]
    assert [each.id for _, each in names] == [new.delivery_id]


def test_nothing_is_forgotten_before_what_was_signed_last_about_it_is_as_old(
    tmp_path: Path, migrated_file: Path
) -> None:
    file = shutil.copy(migrated_file, tmp_path / "ledger.db")
    now = NOON
    ledger = open_ledger(f"sqlite:///{file}", a_keyring(), clock=lambda: now)
    sent = a_submission()
    ledger.record([sent], admitting(Channel.POSTBUS), now)
    now += 20 * DAY
    ledger.confirm(MUNICIPALITY, [sent.delivery_id], now)
    now += 31 * DAY
    swept(ledger, now)

    now = NOON + 2_557 * DAY
    early = ledger.forget(TERMS, {}, now=now, limit=9)
    audited = ledger.audit()
    now += 20 * DAY
    in_time = ledger.forget(TERMS, {}, now=now, limit=9)

    assert (early.counts, audited) == ({}, [])
    assert (sum(in_time.counts.values()), ledger.audit()) == (1, [])
    ledger.close()


@pytest.mark.parametrize("by", ["package", "original", "item", "page"])
def test_what_is_being_read_while_its_content_goes_is_read_whole(
    two_ledgers: tuple[SqlLedger, SqlLedger], by: str
) -> None:
    one, other = two_ledgers
    sent = with_attachment()
    one.record([sent], admitting(Channel.POSTBUS, awaits_confirmation=False), NOON)
    mine = sent.delivery_id
    read: dict[str, Callable[[], object]] = {
        "package": lambda: one.dossier(MUNICIPALITY, a_uuid("message", 1)),
        "original": lambda: one.original(MUNICIPALITY, mine),
        "item": lambda: one.postbus_item(MUNICIPALITY, mine),
        "page": lambda: one.postbus(MUNICIPALITY, limit=1),
    }
    gone: list[dict[str, int]] = []

    def erase(_: object, __: object, statement: str, *rest: object) -> None:
        if "FROM attachment" in statement and not gone:
            gone.append(swept(other, CONTENT_GOES))

    event.listen(one._database.engine, "before_cursor_execute", erase)

    found = read[by]()

    assert gone == [{"inhoud": 1}]
    assert INHOUD in repr(found)
