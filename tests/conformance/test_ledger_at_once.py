"""What may leave at once is lent as it is recorded, exactly as it would have been lent later."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from gateway.adapters.ledger.ledger import SqlLedger
from gateway.delivery import State
from gateway.errors import Finding, Severity
from gateway.message import Channel, Delivery, Oin, Receipt, Submission
from gateway.record import Admit, AtOnce
from tests.conformance.delivering import LEASE, lend, told
from tests.conformance.submissions import (
    CREDITOR,
    MUNICIPALITY,
    NOON,
    a_submission,
    admitting,
    many,
    refusing,
    strangers_to_each_other,
)

UNTIL = NOON + LEASE


def always(channel: Channel, ontvanger: Oin, size: int) -> datetime:
    """A courier that takes everything."""
    return UNTIL


def at_once(
    ledger: SqlLedger, *batch: Submission, admit: Admit | None = None, taker: AtOnce = always
) -> list[Delivery]:
    """Record, and what came of it at once."""
    outcomes = ledger.record(batch, admit or admitting(), NOON, taker)
    return [lent for each in outcomes if isinstance(each, Receipt) for lent in each.lent]


@pytest.mark.parametrize("channel", [Channel.PUSH, Channel.QUEUE])
def test_it_is_what_a_lease_would_have_given(ledger: SqlLedger, channel: Channel) -> None:
    sent = a_submission(1, warnings=(Finding("R1", "/kennisgeving", None, Severity.WAARSCHUW),))

    (lent,) = at_once(ledger, sent, admit=admitting(channel))
    (again,) = lend(ledger, at=UNTIL)

    assert lent == replace(again, attempt=1, fence=1)
    assert (again.attempt, again.fence) == (2, 2)


def test_nobody_else_gets_it_while_its_lease_lasts(ledger: SqlLedger) -> None:
    assert len(at_once(ledger, a_submission(1))) == 1

    assert lend(ledger, at=UNTIL - timedelta(microseconds=1)) == []


def test_what_it_came_to_is_written_like_any_other(ledger: SqlLedger) -> None:
    (lent,) = at_once(ledger, a_submission(1))

    assert ledger.conclude([told(lent, State.BEVESTIGD)]) == 1
    assert ledger.conclude([told(lent, State.BEVESTIGD)]) == 0
    assert lend(ledger, at=UNTIL) == []


def test_only_the_foremost_of_a_conversation_leaves_at_once(ledger: SqlLedger) -> None:
    first, second, _ = many(3)

    (lent,) = at_once(ledger, *many(3))
    assert lent.id == first.delivery_id
    (then,) = ledger.turn(
        [told(lent, State.BEVESTIGD)],
        now=NOON,
        until=UNTIL,
        limit=10,
        channels=frozenset({Channel.PUSH}),
        look=False,
    )

    assert then.id == second.delivery_id


def test_who_does_not_look_gets_nothing_when_nothing_was_let_go(ledger: SqlLedger) -> None:
    (lent,) = at_once(ledger, a_submission(1))
    ledger.record(strangers_to_each_other(1, first=2), admitting(), NOON)

    how: dict[str, Any] = {
        "now": NOON,
        "until": UNTIL,
        "limit": 10,
        "channels": frozenset({Channel.PUSH}),
    }
    assert ledger.turn([told(lent, State.BEVESTIGD)], look=False, **how) == []
    assert len(ledger.turn([], **how)) == 1


def test_what_the_courier_does_not_take_stays_due(ledger: SqlLedger) -> None:
    def only_small(channel: Channel, ontvanger: Oin, size: int) -> datetime | None:
        return UNTIL if size < 100 else None

    large = a_submission(1, canonical=b'{"kennisgeving":"%s"}' % (b"x" * 100))
    assert at_once(ledger, large, taker=only_small) == []

    assert [each.id for each in lend(ledger)] == [large.delivery_id]


def test_a_repeat_and_a_refusal_bring_nothing(ledger: SqlLedger) -> None:
    one = a_submission(1)
    assert len(at_once(ledger, one, one)) == 1
    assert at_once(ledger, one) == []

    assert at_once(ledger, a_submission(2), admit=refusing(2)) == []


def test_the_postbus_is_not_asked_about(ledger: SqlLedger) -> None:
    def nobody(channel: Channel, ontvanger: Oin, size: int) -> datetime | None:
        raise AssertionError("a postbus has no courier")

    assert at_once(ledger, a_submission(1), admit=admitting(Channel.POSTBUS), taker=nobody) == []


def test_a_receipt_says_whether_somebody_must_still_look(ledger: SqlLedger) -> None:
    (reply,) = strangers_to_each_other(1, first=9, afzender=MUNICIPALITY, ontvanger=CREDITOR)
    says = admitting(Channel.POSTBUS)(reply, None)  # type: ignore[arg-type]

    (all_lent,) = ledger.record([a_submission(1)], admitting(), NOON, always)
    (waits,) = ledger.record([a_submission(2)], admitting(), NOON, always)
    other = strangers_to_each_other(1, first=4)
    (more,) = ledger.record(other, admitting(says=(says,)), NOON, always)

    assert isinstance(all_lent, Receipt)
    assert isinstance(waits, Receipt)
    assert isinstance(more, Receipt)
    assert [each.all_lent for each in (all_lent, waits, more)] == [True, False, False]
    assert [len(each.lent) for each in (all_lent, waits, more)] == [1, 0, 1]
