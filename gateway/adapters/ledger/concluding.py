"""Write down what attempts came to, in a transaction that the caller opened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from gateway.adapters.ledger import bulk
from gateway.adapters.ledger.among import among
from gateway.adapters.ledger.graveyard import Death, bury
from gateway.adapters.ledger.happenings import ATTEMPTED, happened, held_deliveries
from gateway.adapters.ledger.journal import Entry
from gateway.adapters.ledger.order import lock, settle
from gateway.adapters.ledger.tables import attempt, delivery
from gateway.delivery import Conclusion, Reason, State


def conclude(connection: sa.Connection, conclusions: Sequence[Conclusion]) -> list[Entry]:
    """Write conclusions whose fence holds; returns what happened, for the journal."""
    told = {(each.delivery_id, each.fence): each for each in conclusions}
    named = among(delivery.c.delivery_id, {each.delivery_id for each in conclusions})
    lock(connection, sa.select(delivery.c.conversation).where(named))
    rows = connection.execute(
        held_deliveries().where(named, delivery.c.leased_until.is_not(None))
    ).all()
    heard = [
        (row, told[row.delivery_id, row.fence])
        for row in rows
        if (row.delivery_id, row.fence) in told
    ]
    if heard:
        _write(connection, heard)
    return [_attempted(row, conclusion) for row, conclusion in heard]


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


def _write(connection: sa.Connection, heard: list[tuple[Any, Conclusion]]) -> None:
    """Write attempts and new states of deliveries whose rows and conversations are held."""
    bulk.insert(connection, attempt, [_attempt_row(row, told) for row, told in heard])
    # Confirmed or stranded by the recipient while we were still hearing from the channel:
    # the attempt is evidence, but the state has moved on.
    open_ = [(row, told) for row, told in heard if row.state == State.WACHT]
    late = [(row, told) for row, told in heard if row.state != State.WACHT]
    moves = [_moved(*each) for each in open_] + [_late(*each) for each in late]
    bulk.update(connection, delivery, moves)
    bury(connection, [_death(*each) for each in open_ if each[1].state is State.GESTRAND])
    latest = max(told.ended_at for _, told in heard)
    settle(connection, sorted({row.conversation for row, _ in heard}), latest)


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
