"""What the tables say about deliveries, beside what was signed about them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from gateway.adapters.ledger.tables import attempt, dead_letter, delivery, evidence
from gateway.audit import Standing
from gateway.delivery import State
from gateway.json import parse
from gateway.message import Json
from gateway.replies import instant


def of_deliveries(connection: sa.Connection, messages: Sequence[int]) -> Iterator[Standing]:
    """The standing of every delivery of these messages, in one snapshot.

    Of a message that was erased the entries may be gone; its deliveries are passed over.
    """
    deliveries = connection.execute(
        sa.select(
            delivery.c.id, delivery.c.delivery_id, delivery.c.state, delivery.c.confirmed_at
        ).where(delivery.c.message.in_(messages))
    ).all()
    numbers = [row.id for row in deliveries]
    attempts = _by_delivery(connection, attempt, numbers)
    letters = _by_delivery(connection, dead_letter, numbers)
    entries, erased = _signed(connection, messages)
    for row in deliveries:
        signed = entries.pop(row.id, ())
        if row.id in erased:
            continue
        yield Standing(
            delivery_id=row.delivery_id,
            confirmed=_confirmed(row),
            attempts=frozenset(map(_attempt, attempts[row.id])),
            deaths=frozenset(instant(each.stranded_at) for each in letters[row.id]),
            repairs=frozenset(
                (each.resolved, instant(each.resolved_at))
                for each in letters[row.id]
                if each.resolved is not None
            ),
            entries=signed,
        )
    for number, orphans in entries.items():  # signed about a delivery that is not there
        yield Standing(f"{number} (ontbreekt)", None, entries=orphans)


def _by_delivery(
    connection: sa.Connection, table: sa.Table, numbers: Sequence[int]
) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = defaultdict(list)
    for row in connection.execute(sa.select(table).where(table.c.delivery.in_(numbers))):
        found[row.delivery].append(row)
    return found


def _signed(
    connection: sa.Connection, messages: Sequence[int]
) -> tuple[dict[int, list[Json]], set[int]]:
    """Entries by delivery, and the deliveries of which entries were erased."""
    rows = connection.execute(
        sa.select(evidence.c.delivery, evidence.c.entry).where(
            evidence.c.message.in_(messages), evidence.c.delivery.is_not(None)
        )
    ).all()
    entries: dict[int, list[Json]] = defaultdict(list)
    for row in rows:
        if row.entry is not None:
            entries[row.delivery].append(parse(row.entry.encode()))
    return entries, {row.delivery for row in rows if row.entry is None}


def _confirmed(row: Any) -> str | None:
    if row.state != State.BEVESTIGD or row.confirmed_at is None:
        return None
    return instant(row.confirmed_at)


def _attempt(row: Any) -> tuple[object, ...]:
    return (row.number, instant(row.ended_at), row.answer, row.status, row.sent_sha256)
