"""Every ledger lets what waits for a party follow it to another channel, in its order."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from gateway.adapters.ledger.ledger import SqlLedger
from gateway.delivery import State
from gateway.message import Channel
from tests.conformance.delivering import (
    LEASE,
    at_once,
    conclude,
    dead,
    ids_of,
    lend,
    numbers,
    state_of,
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
TO_POSTBUS = {MUNICIPALITY: Channel.POSTBUS}
TO_QUEUE = {MUNICIPALITY: Channel.QUEUE}
ADA: dict[str, Any] = {"by": "ada", "why": "ander kanaal", "at": LATER}


def ready(ledger: SqlLedger) -> list[int]:
    return numbers([each for _, each in ledger.postbus(MUNICIPALITY, limit=100)])


def test_what_waits_lies_ready_when_its_party_has_a_postbus_now(ledger: SqlLedger) -> None:
    ledger.record(many(3), admitting(), NOON)

    changed = ledger.rechannel(TO_POSTBUS, LATER)

    found = [each for _, each in ledger.postbus(MUNICIPALITY, limit=9)]
    assert (changed, numbers(found)) == (3, [1, 2, 3])
    assert [each.queued_at for each in found] == [LATER] * 3
    assert lend(ledger, at=LATER) == []
    assert ledger.rechannel(TO_POSTBUS, LATER) == 0


def test_what_waits_to_be_tried_again_goes_to_the_new_channel_at_once(ledger: SqlLedger) -> None:
    ledger.record(many(2), admitting(), NOON)
    (first,) = lend(ledger)
    ledger.conclude([told(first, State.WACHT, retry_at=NOON + timedelta(hours=1))])

    changed = ledger.rechannel(TO_QUEUE, LATER)

    (again,) = lend(ledger, at=LATER)
    assert changed == 2
    assert (again.channel, again.volgnummer, again.queued_at) == (Channel.QUEUE, 1, LATER)


def test_what_is_lent_stays_and_the_rest_waits_for_it(ledger: SqlLedger) -> None:
    ledger.record(many(3), admitting(), NOON)
    (lent,) = lend(ledger)

    changed = ledger.rechannel(TO_POSTBUS, LATER)
    before = ready(ledger)
    ledger.conclude([told(lent, State.BEVESTIGD, at=LATER)])

    assert (changed, before) == (2, [])
    assert ready(ledger) == [2, 3]


def test_what_was_lent_too_long_changes_too(ledger: SqlLedger) -> None:
    ledger.record(many(2), admitting(), NOON)
    (lent,) = lend(ledger)

    changed = ledger.rechannel(TO_POSTBUS, NOON + LEASE)

    assert (changed, ready(ledger)) == (2, [1, 2])
    assert ledger.conclude([told(lent, State.WACHT)]) == 0


def test_what_was_offered_stays_where_it_is(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], admitting(Channel.POSTBUS), NOON)

    assert ledger.rechannel(TO_QUEUE, LATER) == 0

    assert ready(ledger) == [1]


def test_what_waits_for_a_postbus_may_go_elsewhere_in_its_turn(ledger: SqlLedger) -> None:
    ledger.record([a_submission(1)], admitting(), NOON)
    ledger.record(many(2, first=2), admitting(Channel.POSTBUS), NOON)

    changed = ledger.rechannel({MUNICIPALITY: Channel.PUSH}, LATER)

    order = [numbers(conclude(ledger, State.BEVESTIGD, at=LATER)) for _ in range(4)]
    assert changed == 2
    assert order == [[1], [2], [3], []]


def test_other_parties_keep_their_channel(ledger: SqlLedger) -> None:
    back = a_submission(9, afzender=MUNICIPALITY, ontvanger=CREDITOR)
    ledger.record([a_submission(1), back], admitting(), NOON)

    assert ledger.rechannel({}, LATER) == 0
    assert ledger.rechannel(TO_QUEUE, LATER) == 1
    assert ledger.rechannel({**TO_QUEUE, CREDITOR: Channel.PUSH}, LATER) == 0

    lent = {each.ontvanger: each.channel for each in lend(ledger, at=LATER)}
    assert lent == {MUNICIPALITY: Channel.QUEUE, CREDITOR: Channel.PUSH}


@pytest.mark.parametrize("release_first", [False, True])
def test_a_replay_uses_the_channel_of_now(ledger: SqlLedger, release_first: bool) -> None:  # noqa: FBT001
    ledger.record([a_submission(1)], admitting(), NOON)
    conclude(ledger, State.GESTRAND)
    letters = ids_of(dead(ledger))
    if release_first:
        ledger.release(letters, **ADA)

    changed = ledger.rechannel(TO_POSTBUS, LATER)
    still_dead = state_of(ledger)
    ledger.replay(letters, **ADA)

    assert (changed, still_dead) == (1, State.GESTRAND)
    assert ready(ledger) == [1]


def test_a_worker_and_a_change_of_channel_at_once_share_the_work(
    two_ledgers: tuple[SqlLedger, SqlLedger],
) -> None:
    one, other = two_ledgers
    one.record(strangers_to_each_other(100), admitting(), NOON)
    counts: list[int] = []

    def work() -> list[str]:
        return [each.id for _ in range(5) for each in lend(one, limit=10)]

    def change() -> list[str]:
        counts.append(other.rechannel(TO_POSTBUS, NOON))
        return [each.id for _, each in other.postbus(MUNICIPALITY, limit=100)]

    pushed, posted = at_once(partial(work), partial(change))

    assert counts == [len(posted)]
    assert set(pushed).isdisjoint(posted)
    rest = [each.id for each in lend(one, limit=100)]
    assert len(pushed) + len(posted) + len(rest) == 100
