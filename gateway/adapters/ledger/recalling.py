"""Take a message back: out of sight where nobody can have seen it (process.md 3, recall).

Whoever collects or offers a delivery holds its conversation, and so does a recall: of two at
the same instant exactly one comes first, and the other finds what it left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gateway.adapters.ledger.among import among
from gateway.adapters.ledger.erasing import erase
from gateway.adapters.ledger.journal import Entry
from gateway.adapters.ledger.numbering import Pair, pair_between
from gateway.adapters.ledger.order import settle
from gateway.adapters.ledger.receipts import Identity
from gateway.adapters.ledger.tables import delivery, message
from gateway.delivery import Reason, State
from gateway.message import Admitted, Channel, Submission, canonical_form
from gateway.replies import instant

RECALL = "Intrekking"
WITHDRAWN = "ingetrokken"
NAMED = "ingetrokkenReferentienummer"


@dataclass(frozen=True)
class Recalled:
    """The messages that a batch takes back, by identity, with their deliveries."""

    rows: Mapping[Identity, Any] = field(default_factory=dict)

    def taken(self, submission: Submission, pair: Pair) -> bool | None:
        """Whether the recipient may have seen what this recalls; None where there is no such.

        None too where this recalls nothing.
        """
        row = self.of(submission)
        if row is None or pair_between(row.conversatie, row.afzender, row.ontvanger) != pair:
            return None
        return not _unseen(row)

    def of(self, submission: Submission) -> Any | None:
        """The row of the message that this names."""
        named = _named(submission)
        if named is None:
            return None
        return self.rows.get(Identity(named, submission.message.header.afzender))


def recalled_by(connection: sa.Connection, fresh: Iterable[Submission]) -> Recalled:
    """What the recalls among these name; their conversations are held."""
    named = {number for each in fresh if (number := _named(each)) is not None}
    if not named:
        return Recalled()
    rows = connection.execute(
        sa.select(
            message.c.id,
            message.c.referentienummer,
            message.c.afzender,
            message.c.ontvanger,
            message.c.conversatie,
            delivery.c.id.label("delivery"),
            delivery.c.delivery_id,
            delivery.c.conversation,
            delivery.c.state,
            delivery.c.reason,
            delivery.c.channel,
            delivery.c.attempts,
            delivery.c.collected_at,
        )
        .join_from(message, delivery, delivery.c.message == message.c.id)
        .where(among(message.c.referentienummer, named))
        .with_for_update(of=delivery)
    )
    return Recalled({Identity(row.referentienummer, row.afzender): row for row in rows})


def withdraw(
    connection: sa.Connection, admitted: Iterable[Admitted], recalled: Recalled, at: datetime
) -> list[Entry]:
    """Remove what was recalled unseen, and let those go that waited for it.

    Returns:
        That it was never collected, for the journal.
    """
    found = (recalled.of(each.submission) for each in admitted if each.withdraws is not None)
    gone = [row for row in found if row is not None]
    if not gone:
        return []
    connection.execute(
        sa.update(delivery)
        .where(among(delivery.c.id, [row.delivery for row in gone]))
        .values(
            state=State.VERWORPEN.value,
            reason=Reason.INGETROKKEN.value,
            followed=State.VERWORPEN.value,
            due_at=None,
            leased_until=None,
        )
    )
    erase(connection, gone, at)
    settle(connection, sorted({row.conversation for row in gone}), at)
    return [_never_collected(row, at) for row in gone]


def _never_collected(row: Any, at: datetime) -> Entry:
    told = {
        "soort": WITHDRAWN,
        "op": instant(at),
        "afleverId": row.delivery_id,
        "afzender": row.afzender,
        "referentienummer": row.referentienummer,
        "ontvanger": row.ontvanger,
        "gevolg": "nooit-opgehaald",
    }
    return Entry(WITHDRAWN, canonical_form(told), message=row.id, delivery=row.delivery)


def _unseen(row: Any) -> bool:
    """Nobody can have read it: it was never handed over, nor collected from the postbus."""
    match State(row.state):
        case State.WACHT | State.GESTRAND:
            return bool(row.attempts == 0)
        case State.AANGEBODEN:
            return bool(row.channel == Channel.POSTBUS and row.collected_at is None)
        case State.VERWORPEN:
            return bool(row.reason == Reason.INGETROKKEN)
        case State.BEVESTIGD:
            return False


def _named(submission: Submission) -> str | None:
    message_ = submission.message.current
    if message_.kind.name != RECALL:
        return None
    number: str = next(iter(message_.document.values()))[NAMED]
    return number
