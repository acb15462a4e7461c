"""At the end of each day: sign the heads of all logs that changed, so that none can be cut off."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from gateway.adapters.ledger.database import Database
from gateway.adapters.ledger.journal import Journal
from gateway.adapters.ledger.receipts import signed_of
from gateway.adapters.ledger.tables import checkpoint, day_close
from gateway.delivery import AMSTERDAM
from gateway.evidence import (
    NOTHING_BEFORE,
    DayClose,
    Head,
    day_close_digest,
    day_close_of,
    day_close_text,
)
from gateway.message import Json

CLOSES_AT_ONCE = 400


class DayClosing:
    """The part of the ledger that ends a day."""

    _database: Database
    _journal: Journal

    def close_day(self, now: datetime) -> str | None:
        """Sign the heads once the Dutch day before this one is over; once, whoever tries.

        Returns:
            The day that this call closed; None where it was closed, or a later one was.
        """
        day = (now.astimezone(AMSTERDAM).date() - timedelta(days=1)).isoformat()
        with self._database.reading() as connection:
            if (connection.scalar(sa.select(sa.func.max(day_close.c.day))) or "") >= day:
                return None
        with self._database.writing() as connection:
            if connection.dialect.name == "postgresql":  # SQLite lets in one writer only
                connection.execute(sa.text("LOCK TABLE day_close IN EXCLUSIVE MODE"))
            before = connection.execute(
                sa.select(day_close).order_by(day_close.c.day.desc()).limit(1)
            ).one_or_none()
            if before is not None and before.day >= day:
                return None
            previous = day_close_digest(before.content) if before else NOTHING_BEFORE
            content = DayClose(day, now, previous, _changed(connection)).content()
            kid, signature = self._journal.sign(day_close_text(content))
            connection.execute(
                sa.insert(day_close).values(
                    day=day, at=now, content=content, kid=kid, signature=signature
                )
            )
        return day

    def day_closes(self, since: str = "") -> list[Json]:
        """Signed day closes from a day on, oldest first, at most ``CLOSES_AT_ONCE``."""
        query = (
            sa.select(day_close)
            .where(day_close.c.day >= since)
            .order_by(day_close.c.day)
            .limit(CLOSES_AT_ONCE)
        )
        with self._database.reading() as connection:
            return [
                {
                    "dag": row.day,
                    "inhoud": row.content,
                    "sleutel": row.kid,
                    "handtekening": row.signature.hex(),
                }
                for row in connection.execute(query)
            ]


def _changed(connection: sa.Connection) -> tuple[Head, ...]:
    """The heads of all logs that no day close has named yet."""
    named: dict[str, int] = {}
    for content in connection.scalars(sa.select(day_close.c.content).order_by(day_close.c.day)):
        named |= {head.log: head.number for head in day_close_of(content).heads}
    newest = connection.execute(_newest()).all()
    return tuple(_head(connection, row) for row in newest if named.get(row.log, 0) < row.number)


def _newest() -> sa.Select[Any]:
    """Each log with its last number: from log to log by the index, not over all checkpoints."""
    first = sa.select(sa.func.min(checkpoint.c.log).label("log")).cte("logs", recursive=True)
    further = (
        sa.select(sa.func.min(checkpoint.c.log))
        .where(checkpoint.c.log > first.c.log)
        .correlate(first)
        .scalar_subquery()
    )
    logs = first.union_all(sa.select(further).where(first.c.log.is_not(None)))
    last = (
        sa.select(sa.func.max(checkpoint.c.number))
        .where(checkpoint.c.log == logs.c.log)
        .correlate(logs)
        .scalar_subquery()
    )
    return (
        sa.select(logs.c.log, last.label("number"))
        .where(logs.c.log.is_not(None))
        .order_by(logs.c.log)
    )


def _head(connection: sa.Connection, row: Any) -> Head:
    found = connection.execute(
        sa.select(checkpoint).where(checkpoint.c.log == row.log, checkpoint.c.number == row.number)
    ).one()
    return Head(row.log, row.number, signed_of(found).checkpoint.head)
