"""Whose turn is it? First copies go in order, per conversation and recipient.

Only the foremost delivery that is in the way of others has a due time; those behind it wait
without one. So whatever is due may go, and nothing that waits is looked at in vain.
In a postbus all lie together in their order; there one waits only for what waits elsewhere.
``settle`` restores this after every change, and is the only place that knows the rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import sqlalchemy as sa

from gateway.adapters.ledger.among import among
from gateway.adapters.ledger.instant import Instant
from gateway.adapters.ledger.tables import (
    AANGEBODEN,
    GESTRAND,
    POSTBUS,
    WACHT,
    conversation,
    delivery,
    unfinished,
)

Conversations = Sequence[int] | sa.Select[int]
"""Which conversations: their numbers, or a query for them."""

Line = tuple[int, str]
"""Where order holds: a conversation, by its number, and a recipient."""


def in_the_way(d: sa.FromClause) -> sa.ColumnElement[bool]:
    """Deliveries that hold up the later ones to the same recipient.

    They wait; or lie offered until the recipient confirms; or are dead, not released, and
    their recipient wants to be blocked by that. What overtakes never holds anybody up.
    """
    return sa.and_(
        unfinished(d),  # said again, so that the index of the same name serves
        sa.not_(d.c.overtakes),
        sa.or_(
            d.c.state == WACHT,
            sa.and_(d.c.state == AANGEBODEN, d.c.awaits_confirmation),
            sa.and_(d.c.state == GESTRAND, d.c.blocks, sa.not_(d.c.released)),
        ),
    )


_earlier = delivery.alias("earlier")
_lent = delivery.alias("lent")

_waits_for_another = sa.exists().where(
    _earlier.c.conversation == delivery.c.conversation,
    _earlier.c.ontvanger == delivery.c.ontvanger,
    _earlier.c.volgnummer < delivery.c.volgnummer,
    in_the_way(_earlier),
)

# After a replay of a dead letter that let others pass, one of those may be under way.
_another_is_lent = sa.exists().where(
    _lent.c.conversation == delivery.c.conversation,
    _lent.c.ontvanger == delivery.c.ontvanger,
    _lent.c.state == WACHT,
    _lent.c.leased_until.is_not(None),
    sa.not_(_lent.c.overtakes),
    unfinished(_lent),
)

# One that waits for a postbus waits for something elsewhere, for which we wait as well.
_waits_for_elsewhere = sa.exists().where(
    _earlier.c.conversation == delivery.c.conversation,
    _earlier.c.ontvanger == delivery.c.ontvanger,
    _earlier.c.volgnummer < delivery.c.volgnummer,
    _earlier.c.state == WACHT,
    _earlier.c.channel != POSTBUS,
    sa.not_(_earlier.c.overtakes),
    unfinished(_earlier),
)

_may_lie_ready = sa.and_(
    delivery.c.state == WACHT,
    delivery.c.channel == POSTBUS,
    unfinished(delivery),
    sa.or_(delivery.c.overtakes, sa.not_(_waits_for_elsewhere)),
)

_may_go = sa.and_(
    delivery.c.state == WACHT,
    delivery.c.channel != POSTBUS,
    delivery.c.due_at.is_(None),
    unfinished(delivery),
    sa.or_(delivery.c.overtakes, sa.not_(sa.or_(_waits_for_another, _another_is_lent))),
)

_must_wait = sa.and_(
    delivery.c.state == WACHT,
    delivery.c.due_at.is_not(None),
    delivery.c.leased_until.is_(None),
    sa.not_(delivery.c.overtakes),
    unfinished(delivery),
    _waits_for_another,
)


_waiting = sa.and_(delivery.c.state == WACHT, unfinished(delivery))


def _of(column: sa.Column[int], conversations: Conversations) -> sa.ColumnElement[bool]:
    if isinstance(conversations, sa.Select):
        return column.in_(conversations)
    return among(column, conversations)


def locked(conversations: Conversations) -> sa.Select[int]:
    """These conversations, held until the transaction ends.

    Everybody locks in this order, and before any delivery, so nobody waits in a circle. Who
    changes a delivery in a conversation that is not held breaks that, and the order. SQLite has
    one writer at a time and needs no lock.
    """
    return (
        sa.select(conversation.c.id)
        .where(_of(conversation.c.id, conversations))
        .order_by(conversation.c.conversatie, conversation.c.party_a, conversation.c.party_b)
        .with_for_update()
    )


def lock(connection: sa.Connection, conversations: Conversations) -> list[int]:
    """Hold these (``locked``); returns their numbers."""
    return list(connection.scalars(locked(conversations)))


def settle(connection: sa.Connection, conversations: Conversations, at: datetime) -> int:
    """Let go whose turn it is and hold back whose turn it is not; the caller has the lock.

    Returns:
        How many may go now that could not before.
    """
    mine = _of(delivery.c.conversation, conversations)
    if connection.scalar(sa.select(sa.literal(1)).where(sa.exists().where(mine, _waiting))) is None:
        return 0
    queued_at = sa.func.coalesce(delivery.c.queued_at, sa.literal(at, Instant))
    # First, since what lies ready without awaiting confirmation holds up nobody.
    laid = connection.execute(
        sa.update(delivery)
        .where(mine, _may_lie_ready)
        .values(state=AANGEBODEN, due_at=None, offered_at=at, queued_at=queued_at)
    )
    connection.execute(sa.update(delivery).where(mine, _must_wait).values(due_at=None))
    # Another statement: it sees the leases that the one before had to wait for.
    freed = connection.execute(
        sa.update(delivery).where(mine, _may_go).values(due_at=at, queued_at=queued_at)
    )
    return laid.rowcount + freed.rowcount


def stuck(limit: int) -> sa.Select[int]:
    """Conversations in which somebody waits whose turn it is; there should be none."""
    return (
        sa.select(delivery.c.conversation)
        .where(sa.or_(_may_go, _may_lie_ready))
        .distinct()
        .limit(limit)
    )


def held_up(connection: sa.Connection, conversations: Iterable[int]) -> dict[Line, bool]:
    """Lines in which a new delivery must wait; True where also one for a postbus must."""
    numbers = list(conversations)
    if not numbers:
        return {}
    rows = connection.execute(
        sa.select(
            delivery.c.conversation,
            delivery.c.ontvanger,
            sa.func.max(sa.case((delivery.c.state == WACHT, 1), else_=0)).label("waits"),
        )
        .where(among(delivery.c.conversation, numbers), in_the_way(delivery))
        .group_by(delivery.c.conversation, delivery.c.ontvanger)
    )
    return {(row.conversation, row.ontvanger): bool(row.waits) for row in rows}
