"""What a party can see and confirm of its own: its postbus and its messages."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gateway.adapters.keyring import Keyring
from gateway.adapters.ledger.among import among
from gateway.adapters.ledger.database import Database
from gateway.adapters.ledger.happenings import COLLECTED, CONFIRMED, happened, held_deliveries
from gateway.adapters.ledger.instant import Instant
from gateway.adapters.ledger.journal import Journal
from gateway.adapters.ledger.lending import (
    as_delivery,
    lent,
    load,
    open_all,
    sizes,
    was_collected,
    within,
)
from gateway.adapters.ledger.order import lock, settle
from gateway.adapters.ledger.receipts import proofs_of, receipt_of
from gateway.adapters.ledger.restricted import is_restricted
from gateway.adapters.ledger.sealing import ORIGINAL, Attachments, data_key, whole
from gateway.adapters.ledger.seeing import (
    as_original,
    as_view,
    may_fetch,
    may_have_content,
    seen_by,
)
from gateway.adapters.ledger.tables import delivery, in_postbus, message, unerased
from gateway.adapters.vault import SealBroken
from gateway.delivery import State
from gateway.dossier import MessageView, Original
from gateway.message import Channel, Delivery, Oin
from gateway.record import Confirmed

log = logging.getLogger(__name__)

PAGE_BYTES = 16 * 1024 * 1024
"""A page of a postbus carries no more content than this, unless it is one delivery."""


class Postbus:
    """The part of the ledger that parties ask."""

    _database: Database
    _journal: Journal
    _keyring: Keyring

    def postbus(
        self, ontvanger: Oin, *, limit: int, after: int = 0, budget: int | None = PAGE_BYTES
    ) -> list[tuple[int, Delivery]]:
        """What lies ready, oldest first, in volgnummer order within a conversation.

        At most ``limit`` and, except for the first, no more content than ``budget`` bytes;
        None leaves the content out. The cursor pages through one listing. What is recorded
        by another process while somebody pages may get a place before the cursor, as does
        what had to wait for another channel: start again at 0 to see all.
        """
        if budget is None:
            names = _ready(lent(content=False), ontvanger, after, limit)
            with self._database.reading() as connection:
                return [(row.id, as_delivery(row)) for row in connection.execute(names)]
        with self._database.snapshot() as connection:
            while True:
                rows = connection.execute(_ready(sizes(), ontvanger, after, limit)).all()
                looked = within(rows, budget)
                found, broken = load(connection, looked, self._keyring.vault)
                for each in broken:
                    told = {"delivery_id": each.row.delivery_id, "note": each.note}
                    log.error("seal.broken", extra=told)
                if found or not looked:
                    return [(row.id, opened) for row, opened in found]
                after = looked[-1]  # an empty page would say that there is no more

    def postbus_item(self, ontvanger: Oin, delivery_id: str) -> Delivery | None:
        """One delivery that this recipient may fetch (confirmed ones too, while kept).

        Raises:
            SealBroken: it is there and cannot be opened.
        """
        with self._database.snapshot() as connection:
            mine = sa.and_(may_fetch(ontvanger, delivery_id), message.c.erased_at.is_(None))
            rows = connection.execute(lent().where(mine)).all()
            found, broken = open_all(connection, rows, self._keyring.vault)
        if broken:
            raise SealBroken(f"a delivery cannot be opened ({broken[0].note})")
        return found[0][1] if found else None

    def original(self, ontvanger: Oin, delivery_id: str) -> Original | None:
        """What was sent, as it was sent, to a recipient that may fetch the delivery.

        Raises:
            SealBroken: it is there and cannot be opened.
        """
        with self._database.snapshot() as connection:
            row = connection.execute(
                sa.select(message, delivery.c.collected_at, delivery.c.state)
                .join_from(delivery, message, delivery.c.message == message.c.id)
                .where(may_fetch(ontvanger, delivery_id), message.c.wrapped_key.is_not(None))
            ).one_or_none()
            if row is None:
                return None
            apart = Attachments(connection)
            key = data_key(self._keyring.vault, row)
            body = whole(key, ORIGINAL, row.original, lambda: apart.of(row.id))
        return as_original(row, body, collected=was_collected(row))

    def collect(
        self, ontvanger: Oin, delivery_ids: Collection[str], at: datetime
    ) -> frozenset[str]:
        """Have it signed that the recipient takes the content of these, just before it does.

        Whoever hands out content asks this first, and hands out only what comes back: what was
        withdrawn meanwhile is not among it, and what is among it is not withdrawn any more.
        Only the first time is written down. At most 30,000 at once.

        Returns:
            Which may be handed out now.
        """
        if not delivery_ids:
            return frozenset()
        named = sa.and_(
            among(delivery.c.delivery_id, set(delivery_ids)), may_have_content(ontvanger)
        )
        with self._journal.page() as page, self._database.writing() as connection:
            lock(connection, sa.select(delivery.c.conversation).where(named))
            rows = connection.execute(
                held_deliveries().where(named, message.c.erased_at.is_(None))
            ).all()
            first = [row for row in rows if not was_collected(row)]
            if first:
                connection.execute(
                    sa.update(delivery)
                    .where(among(delivery.c.id, [row.id for row in first]))
                    .values(collected_at=at)
                )
                page.write(connection, [happened(COLLECTED, row, at) for row in first])
        return frozenset(row.delivery_id for row in rows)

    def confirm(
        self, ontvanger: Oin, delivery_ids: Sequence[str], at: datetime
    ) -> dict[str, Confirmed]:
        """The recipient has taken these (postbus or queue). Idempotent, in bulk.

        At most 30,000 at once: a database takes only so many values in one statement.
        """
        outcome = dict.fromkeys(delivery_ids, Confirmed.UNKNOWN)
        if not outcome:
            return outcome
        named = sa.and_(among(delivery.c.delivery_id, outcome), delivery.c.ontvanger == ontvanger)
        with self._journal.page() as page, self._database.writing() as connection:
            lock(connection, sa.select(delivery.c.conversation).where(named))
            rows = connection.execute(held_deliveries().where(named)).all()
            outcome.update({row.delivery_id: _confirms(row) for row in rows})
            now = [row for row in rows if outcome[row.delivery_id] is Confirmed.NOW]
            if now:
                connection.execute(_confirmed([row.id for row in now], at))
                settle(connection, sorted({row.conversation for row in now}), at)
                page.write(connection, [happened(CONFIRMED, row, at) for row in now])
        return outcome

    def message(
        self, party: Oin, referentienummer: str, afzender: Oin | None = None
    ) -> MessageView | None:
        """The message, if ``party`` sent it or it was addressed to it.

        Where two senders chose the same number, the party's own message comes first.
        """
        query = seen_by(party, referentienummer, afzender)
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
            if row is None:
                return None
            proof = proofs_of(connection, [row.id]).get(row.id)
        return as_view(row, receipt_of(row.receipt, row.original_sha256, proof))


def _ready(query: sa.Select[Any], ontvanger: Oin, after: int, limit: int) -> sa.Select[Any]:
    ready = query.where(
        in_postbus(delivery),
        # what needs no confirmation stays offered when its content is gone
        unerased(message),
        delivery.c.ontvanger == ontvanger,
        delivery.c.id > after,
        sa.not_(is_restricted()),
    )
    # Within a conversation this is the order of the volgnummers, because both are given out
    # while the conversation is locked.
    return ready.order_by(delivery.c.id).limit(limit)


def _confirms(row: Any) -> Confirmed:
    match State(row.state):
        case State.BEVESTIGD:
            return Confirmed.BEFORE
        case State.AANGEBODEN:
            return Confirmed.NOW
        case State.WACHT if row.channel == Channel.QUEUE and row.attempts > 0:
            # A quick consumer confirms before we have written that the broker took it, and
            # it can only know the id from the message itself.
            return Confirmed.NOW
        case _:
            return Confirmed.NOT_OFFERED


def _confirmed(ids: Sequence[int], at: datetime) -> sa.Update:
    # The lease, if there is one, stays: its conclusion is still evidence.
    return (
        sa.update(delivery)
        .where(among(delivery.c.id, ids))
        .values(
            state=State.BEVESTIGD.value,
            confirmed_at=at,
            due_at=None,
            collected_at=sa.func.coalesce(delivery.c.collected_at, sa.literal(at, Instant)),
        )
    )
