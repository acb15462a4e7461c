"""A party merged into another: its conversations and what it did not collect move along.

Terms are not touched. What was said stays as it was said: a message keeps the recipient that its
sender named (process.md 2, rechtsopvolging).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gateway.adapters.keyring import Keyring
from gateway.adapters.ledger import bulk
from gateway.adapters.ledger.among import among
from gateway.adapters.ledger.database import Database
from gateway.adapters.ledger.numbering import Pair, about_kern, pair_between
from gateway.adapters.ledger.order import lock, settle
from gateway.adapters.ledger.tables import conversation, delivery, unfinished
from gateway.message import Channel, Oin
from gateway.routing import stand as stands
from gateway.routing.outcomes import inherited


class Succession:
    """The part of the ledger that follows mergers."""

    _database: Database
    _keyring: Keyring

    def succeed(
        self, old: Oin, new: Oin, channel: Channel, *, at: datetime, after: int = 0, limit: int
    ) -> int:
        """Move the next conversations of a party to the one that it merged into.

        Where the new party has a conversation of that id with the same other party, or is that
        other party, both are left as they are.

        Args:
            channel: How the new party gets what the old one did not collect.
            after: Look at conversations with a higher number only.

        Returns:
            Number of the last one that was looked at; 0 when there are no more.
        """
        of_old = sa.or_(conversation.c.party_a == old, conversation.c.party_b == old)
        query = (
            sa.select(conversation.c.id)
            .where(of_old, conversation.c.id > after)
            .order_by(conversation.c.id)
            .limit(limit)
        )
        with self._database.reading() as connection:
            if not connection.scalars(query).all():
                return 0
        with self._database.writing() as connection:
            found = connection.scalars(query).all()
            held = lock(connection, found) if found else []
            rows = connection.execute(
                sa.select(conversation).where(among(conversation.c.id, held), of_old)
            ).all()
            stays = _stays(connection, rows, old, new)
            moves = [self._moved(row, old, new) for row in rows if row.id not in stays]
            bulk.update(connection, conversation, moves)
            _redirect(connection, [each["id"] for each in moves], (old, new), channel, at)
        return max(found, default=0)

    def _moved(self, row: Any, old: Oin, new: Oin) -> dict[str, Any]:
        before, after = _pair(row), _after(row, old, new)
        last = {row.party_b: row.last_to_b, row.party_a: row.last_to_a}
        last[new] = last.get(old, 0)
        kern = row.kern
        if kern is not None:
            opened = self._keyring.vault.open_alone(about_kern(before), kern)
            kern = self._keyring.vault.seal_alone(about_kern(after), opened)
        text = row.stand
        if text is not None:
            text = stands.as_text(inherited(stands.read(text), old, new))
        return {
            "id": row.id,
            "party_a": after.party_a,
            "party_b": after.party_b,
            "last_to_a": last.get(after.party_a, 0),
            "last_to_b": last.get(after.party_b, 0),
            "stand": text,
            "kern": kern,
        }


def _stays(connection: sa.Connection, rows: Sequence[Any], old: Oin, new: Oin) -> frozenset[int]:
    """Those that the new party has itself, and those between it and the old one."""
    names = {row.conversatie for row in rows}
    if not names:
        return frozenset()
    there = {
        _pair(row)
        for row in connection.execute(
            sa.select(conversation).where(among(conversation.c.conversatie, names))
        )
    }
    after = {row.id: _after(row, old, new) for row in rows}
    return frozenset(
        number for number, pair in after.items() if pair in there or pair.party_a == pair.party_b
    )


def _redirect(
    connection: sa.Connection,
    conversations: Sequence[int],
    parties: tuple[Oin, Oin],
    channel: Channel,
    at: datetime,
) -> None:
    """What the old party did not collect goes to the new one, as if it were recorded now."""
    if not conversations:
        return
    old, new = parties
    connection.execute(
        sa.update(delivery)
        .where(
            among(delivery.c.conversation, conversations),
            delivery.c.ontvanger == old,
            unfinished(delivery),
        )
        .values(
            ontvanger=new,
            channel=channel.value,
            state=sa.case((delivery.c.state == "aangeboden", "wacht"), else_=delivery.c.state),
            due_at=None,
            leased_until=None,
            queued_at=None,
        )
    )
    settle(connection, conversations, at)


def _after(row: Any, old: Oin, new: Oin) -> Pair:
    other = row.party_b if row.party_a == old else row.party_a
    return pair_between(row.conversatie, new, Oin(other))


def _pair(row: Any) -> Pair:
    return Pair(row.conversatie, Oin(row.party_a), Oin(row.party_b))
