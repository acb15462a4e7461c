"""What a party may see of messages, and fetch of their content."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from gateway.adapters.ledger.restricted import is_restricted
from gateway.adapters.ledger.tables import POSTBUS, delivery, message
from gateway.delivery import Reason, State
from gateway.dossier import MessageView, Original
from gateway.message import Channel, Dialect, Door, Kind, Oin


def seen_by(
    party: Oin | None, referentienummer: str, afzender: Oin | None = None
) -> sa.Select[Any]:
    """The message of this number that a party may see, its own first; None sees all."""
    query = _view().where(message.c.referentienummer == referentienummer)
    if afzender is not None:
        query = query.where(message.c.afzender == afzender)
    if party is None:
        return query.order_by(message.c.id).limit(1)
    may_see = sa.or_(
        message.c.afzender == party, message.c.ontvanger == party, delivery.c.ontvanger == party
    )
    own_first = sa.case((message.c.afzender == party, 0), else_=1)
    return query.where(may_see).order_by(own_first, message.c.id).limit(1)


def may_fetch(ontvanger: Oin, delivery_id: str) -> sa.ColumnElement[bool]:
    """One delivery, where its recipient may have its content."""
    return sa.and_(delivery.c.delivery_id == delivery_id, may_have_content(ontvanger))


def may_have_content(ontvanger: Oin) -> sa.ColumnElement[bool]:
    """What lies in the postbus, or was named on the queue of this recipient; unless it is only
    stored.
    """
    offered = delivery.c.state.in_((State.AANGEBODEN.value, State.BEVESTIGD.value))
    # a quick consumer fetches before we have written that the broker took it
    named = sa.and_(delivery.c.channel == Channel.QUEUE.value, delivery.c.attempts > 0)
    return sa.and_(
        delivery.c.ontvanger == ontvanger,
        sa.or_(sa.and_(delivery.c.channel == POSTBUS, offered), named),
        sa.not_(is_restricted()),
    )


def as_original(row: Any, body: bytes, *, collected: bool = False) -> Original:
    """A message as it was sent, of a row of it and what its seal held."""
    return Original(
        body=body,
        dialect=Dialect(row.dialect),
        sha256=row.original_sha256,
        signature=row.signature,
        digest=row.digest_header,
        afzender=Oin(row.afzender),
        kind=Kind(row.module, row.major, row.soort),
        versie=row.versie,
        signer_fingerprint=row.signer_fingerprint,
        signer_algorithm=row.signer_algorithm,
        received_at=row.received_at,
        collected=collected,
    )


def _view() -> sa.Select[Any]:
    return sa.select(
        message.c.id,
        message.c.original_sha256,
        message.c.afzender,
        message.c.ontvanger,
        message.c.referentienummer,
        message.c.conversatie,
        message.c.module,
        message.c.major,
        message.c.soort,
        message.c.received_at,
        message.c.receipt,
        message.c.door,
        delivery.c.delivery_id,
        delivery.c.channel,
        delivery.c.state,
        delivery.c.attempts,
        delivery.c.offered_at,
        delivery.c.collected_at,
        delivery.c.confirmed_at,
        delivery.c.reason,
    ).join_from(message, delivery, delivery.c.message == message.c.id)


def as_view(row: Any, receipt: bytes) -> MessageView:
    """What a party may see, of a row of ``seen_by``."""
    return MessageView(
        afzender=Oin(row.afzender),
        ontvanger=Oin(row.ontvanger),
        referentienummer=row.referentienummer,
        conversatie=row.conversatie,
        kind=Kind(row.module, row.major, row.soort),
        received_at=row.received_at,
        receipt=receipt,
        delivery_id=row.delivery_id,
        channel=Channel(row.channel),
        state=State(row.state),
        attempts=row.attempts,
        offered_at=row.offered_at,
        collected_at=row.collected_at,
        confirmed_at=row.confirmed_at,
        reason=Reason(row.reason) if row.reason else None,
        door=Door(row.door),
    )
