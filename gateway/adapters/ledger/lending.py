"""A delivery as the ledger lends it out: which columns, and how they become one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import sqlalchemy as sa

from gateway.adapters.ledger.tables import delivery, message
from gateway.message import Channel, Delivery, Dialect, Kind, Oin


def lent(*, content: bool = True) -> sa.Select[Any]:
    """Deliveries joined with the messages they carry; ``as_delivery`` reads its rows."""
    return sa.select(
        delivery.c.id,
        delivery.c.conversation,
        delivery.c.delivery_id,
        delivery.c.ontvanger,
        delivery.c.channel,
        delivery.c.volgnummer,
        delivery.c.awaits_confirmation,
        delivery.c.overtakes,
        delivery.c.attempts,
        delivery.c.fence,
        delivery.c.queued_at,
        delivery.c.recorded_at,
        message.c.module,
        message.c.major,
        message.c.soort,
        message.c.referentienummer,
        message.c.conversatie,
        message.c.afzender,
        message.c.received_at,
        message.c.canonical if content else sa.null().label("canonical"),
        message.c.original_sha256,
        message.c.dialect,
        message.c.signer_fingerprint,
        message.c.warnings,
    ).join_from(delivery, message, delivery.c.message == message.c.id)


def sizes() -> sa.Select[Any]:
    """Numbers of deliveries with the ``size`` of what they carry, which stays where it is."""
    return sa.select(delivery.c.id, sa.func.length(message.c.canonical).label("size")).join_from(
        delivery, message, delivery.c.message == message.c.id
    )


def within(rows: Sequence[Any], budget: int) -> list[int]:
    """Numbers of the first deliveries that fit in so many bytes, and always of the first."""
    sums = accumulate(row.size for row in rows)
    return [
        row.id
        for place, (row, so_far) in enumerate(zip(rows, sums, strict=True))
        if place == 0 or so_far <= budget
    ]


def load(connection: sa.Connection, ids: Sequence[int]) -> list[Any]:
    """The rows of these deliveries with their content, in this order."""
    if not ids:
        return []
    found = {row.id: row for row in connection.execute(lent().where(delivery.c.id.in_(ids)))}
    return [found[number] for number in ids]


def as_delivery(row: Any, *, taken: bool = False) -> Delivery:
    """Read one row; ``taken`` counts the attempt and the fence of a lease made just now."""
    step = 1 if taken else 0
    return Delivery(
        id=row.delivery_id,
        ontvanger=Oin(row.ontvanger),
        channel=Channel(row.channel),
        volgnummer=row.volgnummer,
        awaits_confirmation=row.awaits_confirmation,
        # A postbus takes no lease: being visible is its one attempt.
        attempt=max(1, row.attempts + step),
        fence=row.fence + step,
        queued_at=row.queued_at or row.recorded_at,
        kind=Kind(row.module, row.major, row.soort),
        referentienummer=row.referentienummer,
        conversatie=row.conversatie,
        afzender=Oin(row.afzender),
        received_at=row.received_at,
        canonical=row.canonical or b"",
        original_sha256=row.original_sha256,
        original_dialect=Dialect(row.dialect),
        signer_fingerprint=row.signer_fingerprint,
        warnings=tuple(row.warnings),
        overtakes=row.overtakes,
    )
