"""What an operator does with dead letters: replay, discard or release, and it is written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from gateway.adapters.ledger.database import Database
from gateway.adapters.ledger.happenings import happened
from gateway.adapters.ledger.journal import Entry, Journal, Page
from gateway.adapters.ledger.order import lock, settle
from gateway.adapters.ledger.tables import (
    RELEASED,
    action,
    conversation,
    dead_letter,
    delivery,
    has_ended,
    message,
    repairable,
    unresolved,
)
from gateway.delivery import State

REPLAYED = "herhaald"
DISCARDED = "verworpen"


class Word(NamedTuple):
    """An operator's decision: what, who, why and when."""

    what: str
    by: str
    why: str
    at: datetime


class Repairs:
    """The part of the ledger that operators change."""

    _database: Database
    _journal: Journal

    def replay(self, ids: Sequence[int], *, by: str, why: str, at: datetime) -> list[int]:
        """Offer these again under the same delivery id; returns those that it took.

        Open ones and released ones. Passed over are garbage, which has no delivery to offer,
        and what would go into a conversation that ended since.
        """
        again = {
            "state": State.WACHT.value,  # until it is settled, which may be at once
            "released": False,
            "queued_at": None,
            "reason": None,
            "leased_until": None,
            "unanswered": 0,
        }
        with self._journal.page() as page, self._database.writing() as connection:
            which = sa.and_(repairable(dead_letter, delivery), sa.not_(_has_ended()))
            held = hold(connection, ids, which)
            return _settled(connection, page, held, again, Word(REPLAYED, by, why, at))

    def discard(self, ids: Sequence[int], *, by: str, why: str, at: datetime) -> list[int]:
        """Give these up for good and let their successors go; garbage is erased."""
        with self._journal.page() as page, self._database.writing() as connection:
            held = hold(connection, ids, repairable(dead_letter, delivery))
            held += _hold_garbage(connection, ids)
            given_up = {"state": State.VERWORPEN.value}
            return _settled(connection, page, held, given_up, Word(DISCARDED, by, why, at))

    def release(self, ids: Sequence[int], *, by: str, why: str, at: datetime) -> list[int]:
        """Leave these dead but let their successors go; garbage holds up nobody."""
        with self._journal.page() as page, self._database.writing() as connection:
            held = hold(connection, ids, unresolved(dead_letter))
            return _settled(connection, page, held, {"released": True}, Word(RELEASED, by, why, at))


def _has_ended() -> sa.ColumnElement[bool]:
    """The conversation of a delivery ended after its message; what ended it may still go."""
    sent = message.alias("sent")
    return sa.exists().where(
        conversation.c.id == delivery.c.conversation,
        sent.c.id == delivery.c.message,
        has_ended(sent),
    )


def hold(connection: sa.Connection, ids: Sequence[int], which: sa.ColumnElement[bool]) -> list[Any]:
    """Dead letters of these that have a delivery, held with their conversations."""
    named = sa.and_(dead_letter.c.id.in_(ids), which)
    joined = dead_letter.join(delivery, dead_letter.c.delivery == delivery.c.id)
    lock(connection, sa.select(delivery.c.conversation).select_from(joined).where(named))
    return list(
        connection.execute(
            sa.select(dead_letter.c.id.label("letter"), delivery)
            .add_columns(message.c.afzender, message.c.referentienummer)
            .select_from(joined.join(message, delivery.c.message == message.c.id))
            .where(named)
            .order_by(dead_letter.c.id)
            .with_for_update(of=[dead_letter, delivery])
        )
    )


def _hold_garbage(connection: sa.Connection, ids: Sequence[int]) -> list[Any]:
    return list(
        connection.execute(
            sa.select(dead_letter.c.id.label("letter"), sa.null().label("delivery_id"))
            .where(
                dead_letter.c.id.in_(ids),
                unresolved(dead_letter),
                dead_letter.c.delivery.is_(None),
            )
            .order_by(dead_letter.c.id)
            .with_for_update()
        )
    )


def _settled(
    connection: sa.Connection, page: Page, held: list[Any], change: Mapping[str, Any], word: Word
) -> list[int]:
    """Resolve these as the whole of a transaction."""
    page.write(connection, resolve(connection, held, change, word))
    return sorted(row.letter for row in held)


def resolve(
    connection: sa.Connection, held: list[Any], change: Mapping[str, Any], word: Word
) -> list[Entry]:
    """Write down what was decided about dead letters, change their deliveries so, and let those
    go that waited.

    Args:
        held: Rows of ``hold``.

    Returns:
        That it was decided, for the journal.
    """
    letters = sorted(row.letter for row in held)
    if not letters:
        return []
    found = [row for row in held if row.delivery_id is not None]
    connection.execute(
        sa.update(dead_letter)
        .where(dead_letter.c.id.in_(letters))
        .values(
            resolved=word.what,
            resolved_by=word.by,
            resolved_why=word.why,
            resolved_at=word.at,
            garbage=None,
        )
    )
    if found:
        connection.execute(
            sa.update(delivery).where(delivery.c.id.in_([row.id for row in found])).values(**change)
        )
        touched = {row.conversation for row in found}
        settle(connection, sorted(touched), word.at)
    connection.execute(
        sa.insert(action).values(
            at=word.at, who=word.by, why=word.why, what=word.what, dead_letters=letters
        )
    )
    return [happened(word.what, row, word.at, door=word.by) for row in found]
