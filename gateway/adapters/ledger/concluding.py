"""Write down what attempts came to, in a transaction that the caller opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import sqlalchemy as sa

from gateway.adapters.ledger import bulk
from gateway.adapters.ledger.among import these
from gateway.adapters.ledger.graveyard import Death, bury
from gateway.adapters.ledger.happenings import ATTEMPTED, happened, held_deliveries
from gateway.adapters.ledger.journal import Entry
from gateway.adapters.ledger.order import locked, settle
from gateway.adapters.ledger.question import Question
from gateway.adapters.ledger.tables import WACHT, attempt, delivery, message, unfinished
from gateway.delivery import Conclusion, Reason, State

_other = delivery.alias("other")

# Asked while the conversation is held, so that nobody can begin to wait meanwhile.
_somebody_waits = (
    sa.exists()
    .where(
        _other.c.conversation == delivery.c.conversation,
        _other.c.state == WACHT,
        _other.c.leased_until.is_(None),
        unfinished(_other),
    )
    .label("somebody_waits")
)


_ASKED = (
    delivery.c.id,
    delivery.c.delivery_id,
    delivery.c.message,
    delivery.c.conversation,
    delivery.c.ontvanger,
    delivery.c.state,
    delivery.c.fence,
    delivery.c.attempts,
    delivery.c.offered_at,
    delivery.c.confirmed_at,
    delivery.c.tot_en_met,
    message.c.erased_at,
)


_LOCKED = Question(
    locked(sa.select(delivery.c.conversation).where(these(delivery.c.delivery_id))), "TEXT"
)

_LENT = Question(
    held_deliveries(*_ASKED, _somebody_waits).where(
        these(delivery.c.delivery_id), delivery.c.leased_until.is_not(None)
    ),
    "TEXT",
)


class Concluded(NamedTuple):
    """What conclusions came to.

    Attributes:
        entries: What happened, for the journal.
        freed: How many deliveries may go now that could not before.
    """

    entries: list[Entry]
    freed: int


NOTHING = Concluded([], 0)


def conclude(connection: sa.Connection, conclusions: Sequence[Conclusion]) -> Concluded:
    """Write conclusions whose fence holds."""
    told = {(each.delivery_id, each.fence): each for each in conclusions}
    named = {each.delivery_id for each in conclusions}
    _LOCKED.ask(connection, named)
    rows = _LENT.ask(connection, named)
    heard = [
        (row, _without_trace(row, told[row.delivery_id, row.fence]))
        for row in rows
        if (row.delivery_id, row.fence) in told
    ]
    freed = _write(connection, heard) if heard else 0
    return Concluded([_attempted(row, told) for row, told in heard], freed)


def _without_trace(row: Any, told: Conclusion) -> Conclusion:
    """Nothing by which content could be recognised that was erased during the attempt."""
    return told if row.erased_at is None else replace(told, sent_sha256=None)


def _attempted(row: Any, told: Conclusion) -> Entry:
    return happened(
        ATTEMPTED,
        row,
        told.ended_at,
        poging=row.attempts,
        antwoord=told.attempted.answer.value,
        status=told.attempted.status,
        verzondenSha256=told.sent_sha256,
        gevolg=told.state.value,
    )


def _write(connection: sa.Connection, heard: list[tuple[Any, Conclusion]]) -> int:
    """Write attempts and new states of deliveries whose rows and conversations are held.

    Returns:
        How many may go now that could not before.
    """
    bulk.insert(connection, attempt, [_attempt_row(row, told) for row, told in heard])
    # Confirmed or stranded by the recipient while we were still hearing from the channel:
    # the attempt is evidence, but the state has moved on.
    open_ = [(row, told) for row, told in heard if row.state == State.WACHT]
    late = [(row, told) for row, told in heard if row.state != State.WACHT]
    moves = [_moved(*each) for each in open_] + [_late(*each) for each in late]
    bulk.update(connection, delivery, moves)
    bury(connection, [_death(*each) for each in open_ if each[1].state is State.GESTRAND])
    left = (State.WACHT, State.GESTRAND)
    if not any(row.somebody_waits or told.state in left for row, told in heard):
        return 0
    latest = max(told.ended_at for _, told in heard)
    return settle(connection, sorted({row.conversation for row, _ in heard}), latest)


def _moved(row: Any, told: Conclusion) -> dict[str, Any]:
    reached = told.state in (State.AANGEBODEN, State.BEVESTIGD)
    return {
        "id": row.id,
        # A dead one is only given back here; it is buried in the next step.
        "state": (State.WACHT if told.state is State.GESTRAND else told.state).value,
        "due_at": told.retry_at if told.state is State.WACHT else None,
        "offered_at": told.ended_at if reached else row.offered_at,
        "confirmed_at": told.ended_at if told.state is State.BEVESTIGD else row.confirmed_at,
        "leased_until": None,
        "unanswered": 0,
        "tot_en_met": _told(row, told) if reached else row.tot_en_met,
    }


def _late(row: Any, told: Conclusion) -> dict[str, Any]:
    reached = told.state in (State.AANGEBODEN, State.BEVESTIGD)
    return {
        "id": row.id,
        "state": row.state,
        "due_at": None,
        "offered_at": row.offered_at or (told.ended_at if reached else None),
        "confirmed_at": row.confirmed_at,
        "leased_until": None,
        "unanswered": 0,
        "tot_en_met": _told(row, told) if reached else row.tot_en_met,
    }


def _told(row: Any, told: Conclusion) -> str | None:
    """The last day of the term as the recipient was told it; the first that it was told."""
    if told.tot_en_met is None:
        return row.tot_en_met  # type: ignore[no-any-return]
    return row.tot_en_met or told.tot_en_met.isoformat()


def _death(row: Any, told: Conclusion) -> Death:
    reason = told.reason or Reason.OPGEGEVEN
    status = told.attempted.status
    note = told.attempted.note or (f"http-{status}" if status is not None else "")
    return Death(row.id, reason, note, told.ended_at)


def _attempt_row(row: Any, told: Conclusion) -> dict[str, Any]:
    return {
        "delivery": row.id,
        "number": row.attempts,
        "started_at": told.started_at,
        "ended_at": told.ended_at,
        "answer": told.attempted.answer.value,
        "status": told.attempted.status,
        "note": told.attempted.note,
        "sent_sha256": told.sent_sha256,
    }
