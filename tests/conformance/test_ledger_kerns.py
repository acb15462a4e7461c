"""The sealed part of a conversation: never in the clear, under the newest key, gone in time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import sqlalchemy as sa

from gateway.adapters.ledger import tables
from gateway.adapters.ledger.kerns import erase_kerns
from gateway.adapters.ledger.ledger import SqlLedger
from gateway.message import Admitted, Course, Submission, Talk
from gateway.routing.retention import read
from tests.conformance.submissions import NOON, a_submission, a_uuid, admitting

SECRET = b'{"ibans":["NL00KANARIE"]}'


def telling(kern: bytes, *, ended: bool = False) -> object:
    """An admit station that takes this over into the sealed part."""

    def admit(submission: Submission, talk: Talk) -> Admitted:
        admitted = admitting()(submission, talk)
        return replace(admitted, course=Course('{"staat":"LOPEND"}', kern, None, ended))

    return admit


def kern_of(ledger: SqlLedger, seen: list[bytes | None], number: int) -> bytes | None:
    """What the next message of the conversation is told of it."""

    def admit(submission: Submission, talk: Talk) -> Admitted:
        seen.append(talk.kern())
        return admitting()(submission, talk)

    ledger.record([a_submission(number)], admit, NOON)
    return seen[-1]


def test_the_next_message_is_told_what_was_sealed_and_nobody_else(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], telling(SECRET), NOON)  # type: ignore[arg-type]

    with ledger._database.reading() as connection:
        rows = connection.execute(sa.select(tables.conversation)).all()

    assert kern_of(ledger, [], 2) == SECRET
    assert b"KANARIE" not in repr(rows).encode()
    assert rows[0].kern != SECRET


def test_a_message_later_in_the_same_batch_is_told_what_an_earlier_one_sealed(
    ledger: SqlLedger,
) -> None:
    seen: list[bytes | None] = []

    def admit(submission: Submission, talk: Talk) -> Admitted:
        seen.append(talk.kern())
        told = Course('{"staat":"LOPEND"}', SECRET) if not seen[:-1] else None
        return replace(admitting()(submission, talk), course=told)

    ledger.record([a_submission(1), a_submission(2)], admit, NOON)

    assert seen == [None, SECRET]
    assert kern_of(ledger, [], 3) == SECRET


def test_sealed_parts_move_to_the_newest_key_and_stay_what_they_are(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], telling(SECRET), NOON)  # type: ignore[arg-type]
    assert ledger.kerns_under() == {1: 1}

    ledger._keyring.vault._take({2: b"\x02" * 32})
    progress = ledger.wrap_again(0, to=2)

    assert progress.changed >= 1
    assert ledger.kerns_under() == {2: 1}
    assert kern_of(ledger, [], 2) == SECRET


def test_the_sealed_part_goes_some_time_after_the_end_and_not_before(ledger: SqlLedger) -> None:
    other = a_submission(2, conversatie=a_uuid("runs"))
    ledger.record([a_submission(1)], telling(SECRET, ended=True), NOON)  # type: ignore[arg-type]
    ledger.record([other], telling(SECRET), NOON)  # type: ignore[arg-type]

    def gone(before: timedelta, *, trial: bool = False) -> int:
        with ledger._database.writing() as connection:
            return erase_kerns(connection, NOON + before, 10, trial=trial)

    assert gone(timedelta(seconds=-1)) == 0
    assert gone(timedelta(0), trial=True) == 1
    assert gone(timedelta(0)) == 1
    assert ledger.kerns_under() == {1: 1}


def test_the_daily_sweep_erases_them_after_their_term(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], telling(SECRET, ended=True), NOON)  # type: ignore[arg-type]
    terms = read()

    ledger.tidy(terms, now=NOON + terms.kerns - timedelta(seconds=1), limit=9)
    assert ledger.kerns_under() == {1: 1}

    assert ledger.tidy(terms, now=NOON + terms.kerns, limit=9) == {("kernen", ""): 1}
    assert ledger.kerns_under() == {}
