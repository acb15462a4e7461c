"""Which due deliveries may a courier take? They are lent to it; what must not be taken is told."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any, NamedTuple

import sqlalchemy as sa

from gateway.adapters.ledger.among import among
from gateway.adapters.ledger.lending import load, sizes, within
from gateway.adapters.ledger.restricted import is_restricted
from gateway.adapters.ledger.tables import LEASES_WITHOUT_ANSWER, delivery, scheduled
from gateway.adapters.vault import Vault
from gateway.delivery import Reason
from gateway.message import Channel, Delivery, Oin

log = logging.getLogger(__name__)

LENT_BYTES = 64 * 1024 * 1024
"""No more content than this is lent at once, except where one message carries more."""

SUSPECT_AFTER = 2
"""So many leases that ran out in a row are no accident: from then on it is lent alone."""

KEY_MISSING = timedelta(seconds=30)
"""Before it is tried again to open what was sealed with a key that is not here."""


class Wanted(NamedTuple):
    """What a courier asks for; see ``Ledger.lease``."""

    now: datetime
    until: datetime
    limit: int
    channels: frozenset[Channel]
    closed: frozenset[Oin] = frozenset()


class Doom(NamedTuple):
    """Why a delivery may not be lent any more."""

    reason: Reason
    note: str


_KILLER = Doom(Reason.AFLEVERLIMIET, f"onbeantwoord-{LEASES_WITHOUT_ANSWER}")


def lend(
    connection: sa.Connection, wanted: Wanted, vault: Vault
) -> tuple[list[Delivery], dict[int, Doom]]:
    """Take what is due; what must not be taken comes back by its number."""
    due = connection.execute(
        sizes()
        .add_columns(delivery.c.unanswered, delivery.c.leased_until)
        .where(
            scheduled(delivery),
            delivery.c.due_at <= wanted.now,
            among(delivery.c.channel, [each.value for each in wanted.channels]),
            sa.not_(among(delivery.c.ontvanger, wanted.closed)),
            sa.not_(is_restricted()),
        )
        .order_by(delivery.c.due_at, delivery.c.id)
        .limit(wanted.limit)
        .with_for_update(of=delivery, skip_locked=True)
    ).all()
    doomed = {
        row.id: _KILLER
        for row in due
        if row.leased_until is not None and row.unanswered >= LEASES_WITHOUT_ANSWER
    }
    healthy = _apart([row for row in due if row.id not in doomed])
    opened, broken = load(connection, within(healthy, LENT_BYTES), vault, taken=True)
    if opened:
        connection.execute(_take([row.id for row, _ in opened], wanted.until))
    locked_in = [each.row for each in broken if each.lacks_key]
    if locked_in:
        _put_off(connection, locked_in, wanted.now + KEY_MISSING)
    altered = [each for each in broken if not each.lacks_key]
    doomed.update({each.row.id: Doom(Reason.ONLEESBAAR, each.note) for each in altered})
    return [each for _, each in opened], doomed


def _take(ids: Sequence[int], until: datetime) -> sa.Update:
    ran_out = delivery.c.leased_until.is_not(None)
    return (
        sa.update(delivery)
        .where(among(delivery.c.id, ids))
        .values(
            attempts=delivery.c.attempts + 1,
            fence=delivery.c.fence + 1,
            unanswered=sa.case((ran_out, delivery.c.unanswered + 1), else_=0),
            leased_until=until,
            due_at=until,  # a lease that runs out is due again, without a sweep
        )
    )


def _put_off(connection: sa.Connection, rows: Sequence[Any], until: datetime) -> None:
    """Try these again later: another process may have the key, or an operator brings it."""
    log.error("seal.key_missing", extra={"count": len(rows)})
    ids = [row.id for row in rows]
    connection.execute(sa.update(delivery).where(among(delivery.c.id, ids)).values(due_at=until))


def _apart(rows: Sequence[Any]) -> Sequence[Any]:
    """The first of these up to one whose leases keep running out; that one goes alone.

    It may be what kills its worker, and what was lent with it would strand with it.
    """
    sound = list(
        takewhile(lambda row: row.leased_until is None or row.unanswered < SUSPECT_AFTER, rows)
    )
    return sound or rows[:1]
