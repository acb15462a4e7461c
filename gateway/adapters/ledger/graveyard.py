"""How a delivery dies: one way, whoever found it dead."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from gateway.adapters.ledger.tables import dead_letter, delivery
from gateway.delivery import Reason, State


class Death(NamedTuple):
    """That a delivery, by its number, ends as a dead letter."""

    delivery: int
    reason: Reason
    note: str
    at: datetime


def bury(connection: sa.Connection, deaths: Sequence[Death]) -> None:
    """Strand deliveries whose rows are held and that are not stranded, each with its letter.

    The lease, if there is one, stays: what its holder says still counts as evidence.
    """
    if not deaths:
        return
    connection.execute(
        sa.update(delivery)
        .where(delivery.c.id == sa.bindparam("number"))
        .values(state=State.GESTRAND.value, due_at=None, reason=sa.bindparam("why")),
        [{"number": each.delivery, "why": each.reason.value} for each in deaths],
    )
    connection.execute(
        sa.insert(dead_letter),
        [
            {
                "delivery": each.delivery,
                "reason": each.reason.value,
                "note": each.note,
                "stranded_at": each.at,
            }
            for each in deaths
        ],
    )
