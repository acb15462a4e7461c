"""Steps that tests of a ledger take in between: lend, tell how it went, look at the rows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any, TypeVar

import sqlalchemy as sa

from gateway.adapters.ledger.ledger import SqlLedger
from gateway.dead_letter import DeadLetter, DeadLetterFilter, Stranding
from gateway.delivery import Answer, Attempted, Conclusion, Reason, State
from gateway.message import Channel, Delivery
from tests.conformance.submissions import CREDITOR, NOON, a_submission, a_uuid

T = TypeVar("T")

EVERYWHERE = frozenset(Channel)
LEASE = timedelta(minutes=3)

ANSWERS = {
    State.WACHT: Answer.UNAVAILABLE,
    State.AANGEBODEN: Answer.OFFERED,
    State.BEVESTIGD: Answer.CONFIRMED,
    State.GESTRAND: Answer.REJECTED,
}


def lend(
    ledger: SqlLedger, *, at: datetime = NOON, limit: int = 100, **which: Any
) -> list[Delivery]:
    """Take what is due."""
    wanted = {"channels": EVERYWHERE, **which}
    return ledger.lease(now=at, until=at + LEASE, limit=limit, **wanted)


def told(delivery: Delivery, state: State, *, at: datetime = NOON, **changes: Any) -> Conclusion:
    """What the attempt that this delivery was lent for came to."""
    rest: dict[str, Any] = {
        "attempt": delivery.attempt,
        "attempted": Attempted(ANSWERS[state], note="proef"),
        "started_at": at,
        "ended_at": at,
        "retry_at": at + timedelta(minutes=1) if state is State.WACHT else None,
        "reason": Reason.GEWEIGERD if state is State.GESTRAND else None,
    }
    return Conclusion(delivery.id, delivery.fence, state=state, **{**rest, **changes})


def conclude(ledger: SqlLedger, state: State, *, at: datetime = NOON) -> list[Delivery]:
    """Take what is due and have every attempt end like this."""
    lent = lend(ledger, at=at)
    assert ledger.conclude([told(each, state, at=at) for each in lent]) == len(lent)
    return lent


def stranding(number: int = 1, **changes: Any) -> Stranding:
    """That the subscriber of the message of that number rejected it."""
    given: dict[str, Any] = {
        "reason": Reason.GEWEIGERD,
        "note": "SCHEMA_ONGELDIG",
        "at": NOON,
        **changes,
    }
    return Stranding(delivery_id=a_submission(number).delivery_id, **given)


def garbage(raw: bytes = b"\x00niets") -> Stranding:
    """Something on the dead-letter queue that nobody can read."""
    return Stranding(None, Reason.ONLEESBAAR, "geen-cloudevent", NOON, garbage=raw)


def state_of(ledger: SqlLedger, number: int = 1) -> State:
    """Where the delivery of the creditor's message of that number stands."""
    view = ledger.message(CREDITOR, a_uuid("message", number))
    assert view is not None
    return view.state


def dead(ledger: SqlLedger, **which: Any) -> list[DeadLetter]:
    """Dead letters that wait for an operator."""
    return ledger.dead_letters(DeadLetterFilter(**which))


def ids_of(letters: Sequence[DeadLetter]) -> list[int]:
    return [each.id for each in letters]


def numbers(deliveries: Sequence[Delivery]) -> list[int]:
    """Their volgnummers, as they came."""
    return [each.volgnummer for each in deliveries]


def rows(ledger: SqlLedger, query: sa.Select[Any]) -> list[Any]:
    """What really lies in the tables, where no promise shows it."""
    with ledger._database.reading() as connection:
        return list(connection.execute(query))


def at_once(*works: Callable[[], T]) -> list[T]:
    """Run all of these at the same moment, each in its own thread."""
    start = threading.Barrier(len(works))

    def run(work: Callable[[], T]) -> T:
        start.wait()
        return work()

    with ThreadPoolExecutor(len(works)) as threads:
        return list(threads.map(run, works))
