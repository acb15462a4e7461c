"""What happened to a delivery, as the journal keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gateway.adapters.ledger.graveyard import Death
from gateway.adapters.ledger.journal import Entry
from gateway.adapters.ledger.tables import delivery, message
from gateway.message import canonical_form
from gateway.replies import instant

ATTEMPTED, CONFIRMED, STRANDED = "poging", "bevestigd", "gestrand"
COLLECTED = "opgehaald"


def held_deliveries(*columns: Any) -> sa.Select[Any]:
    """Deliveries, held until the transaction ends, with the identity of their message.

    Args:
        columns: What is asked of each; everything where none is named.
    """
    return (
        sa.select(*(columns or (delivery,)), message.c.afzender, message.c.referentienummer)
        .join_from(delivery, message, delivery.c.message == message.c.id)
        .with_for_update(of=delivery)
    )


def happened(soort: str, row: Any, at: datetime, **details: str | int | None) -> Entry:
    """That this happened to the delivery in a row of ``held_deliveries``."""
    told = {
        "soort": soort,
        "op": instant(at),
        "afleverId": row.delivery_id,
        "afzender": row.afzender,
        "referentienummer": row.referentienummer,
        "ontvanger": row.ontvanger,
        **{name: value for name, value in details.items() if value is not None},
    }
    return Entry(soort, canonical_form(told), message=row.message, delivery=row.id)


def died(rows: Sequence[Any], deaths: Sequence[Death]) -> list[Entry]:
    """That these deliveries, in rows of ``held_deliveries``, became dead letters."""
    found = {row.id: row for row in rows}
    return [
        happened(STRANDED, found[each.delivery], each.at, reden=each.reason.value)
        for each in deaths
    ]
