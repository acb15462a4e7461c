"""A delivery as the ledger lends it out: which columns, and how they become one."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from gateway.adapters.ledger.tables import delivery, message
from gateway.message import Channel, Delivery, Dialect, Kind, Oin


def with_content() -> sa.Select[Any]:
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
        message.c.canonical,
        message.c.original_sha256,
        message.c.dialect,
        message.c.signer_fingerprint,
        message.c.warnings,
    ).join_from(delivery, message, delivery.c.message == message.c.id)


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
        canonical=row.canonical,
        original_sha256=row.original_sha256,
        original_dialect=Dialect(row.dialect),
        signer_fingerprint=row.signer_fingerprint,
        warnings=tuple(row.warnings),
        overtakes=row.overtakes,
    )
