"""How much stands where, for a monitor that asks all the time: only what is not finished."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from gateway.adapters.keyring import Keyring
from gateway.adapters.ledger.database import Database
from gateway.adapters.ledger.journal import Journal
from gateway.adapters.ledger.tables import (
    checkpoint,
    day_close,
    dead_letter,
    delivery,
    message,
    unfinished,
    unresolved,
)
from gateway.delivery import State
from gateway.message import Channel, Oin
from gateway.record import Load


class Measuring:
    """The part of the ledger that is measured."""

    _database: Database
    _journal: Journal
    _keyring: Keyring

    def load(self, since: datetime, until: datetime) -> Load:
        """What stands where now, and what the gateway said in conversations in this period.

        The period is what its messages cost to count, so it had better be short.
        """
        journal = self._journal
        own = _SAID.where(
            message.c.recorded_at >= since,
            message.c.recorded_at < until,
            message.c.afzender == self._keyring.signing.oin,
        )
        last = sa.select(checkpoint.c.at).where(
            checkpoint.c.log == journal.log, checkpoint.c.number == journal.number
        )
        with self._database.reading() as connection:
            standing = connection.execute(_STANDING).all()
            dead = connection.scalar(_DEAD)
            said = connection.execute(own).all()
            checkpoint_at = connection.scalar(last)
            closed_at = connection.scalar(_CLOSED)
        return Load(
            standing=[
                (Oin(row.ontvanger), Channel(row.channel), State(row.state), row.number, row.oldest)
                for row in standing
            ],
            dead_letters=int(dead or 0),
            said={row.soort: row.number for row in said},
            checkpoint_at=checkpoint_at,
            closed_at=closed_at,
        )


_STANDING = (
    sa.select(
        delivery.c.ontvanger,
        delivery.c.channel,
        delivery.c.state,
        sa.func.count().label("number"),
        sa.func.min(delivery.c.recorded_at).label("oldest"),
    )
    .where(unfinished(delivery))
    .group_by(delivery.c.ontvanger, delivery.c.channel, delivery.c.state)
)
_DEAD = sa.select(sa.func.count()).select_from(dead_letter).where(unresolved(dead_letter))
_SAID = sa.select(message.c.soort, sa.func.count().label("number")).group_by(message.c.soort)
_CLOSED = sa.select(day_close.c.at).order_by(day_close.c.day.desc()).limit(1)
