"""Lend out what is due, and write down what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa

from gateway.adapters.keyring import Keyring
from gateway.adapters.ledger.concluding import NOTHING, conclude
from gateway.adapters.ledger.database import Database, plan_anew
from gateway.adapters.ledger.graveyard import Death, bury
from gateway.adapters.ledger.happenings import died, held_deliveries
from gateway.adapters.ledger.journal import Journal
from gateway.adapters.ledger.leasing import Doom, Wanted, lend
from gateway.adapters.ledger.order import lock, settle, stuck
from gateway.adapters.ledger.tables import (
    GESTRAND,
    WACHT,
    delivery,
    message,
    on_queue,
    scheduled,
    unerased,
    unfinished,
)
from gateway.delivery import Conclusion, State
from gateway.message import Channel, Delivery, Oin

_HEALED_AT_ONCE = 1_000
_NAMED_AT_ONCE = 10_000  # a lost queue may hold more than one statement can name


class Delivering:
    """The part of the ledger that the channels work from."""

    _database: Database
    _journal: Journal
    _keyring: Keyring

    def lease(
        self,
        *,
        now: datetime,
        until: datetime,
        limit: int,
        channels: frozenset[Channel],
        closed: frozenset[Oin] = frozenset(),
    ) -> list[Delivery]:
        """Take due deliveries, at most ``limit``, counting the attempt as it is taken.

        Fewer where they carry more than ``LENT_BYTES`` together; the others stay due.
        One whose lease ran out unanswered more than ``LEASES_WITHOUT_ANSWER`` times in a
        row becomes a dead letter instead: it kills whoever takes it. So does one whose
        content cannot be opened; where only its key is not here, it waits for that.
        """
        return self.turn([], now=now, until=until, limit=limit, channels=channels, closed=closed)

    def conclude(self, conclusions: Sequence[Conclusion]) -> int:
        """Write what attempts came to, and let successors go. Old fences are ignored."""
        if not conclusions:
            return 0
        with self._journal.page() as page, self._database.writing(kept_plans=True) as connection:
            entries, _ = conclude(connection, conclusions)
            page.write(connection, entries)
        return len(entries)

    def turn(
        self,
        conclusions: Sequence[Conclusion],
        *,
        now: datetime,
        until: datetime,
        limit: int,
        channels: frozenset[Channel],
        closed: frozenset[Oin] = frozenset(),
        look: bool = True,
    ) -> list[Delivery]:
        """``conclude`` and then ``lease``, in one transaction: half the work for the same.

        Args:
            look: False where nothing else is due, as far as the caller knows: then only what
                a conclusion let go makes it look.
        """
        wanted = Wanted(now, until, limit, channels, closed)
        taken: list[Delivery] = []
        doomed: dict[int, Doom] = {}
        writing = self._database.writing(kept_plans=True)
        with self._journal.page() as page, writing as connection:
            concluded = conclude(connection, conclusions) if conclusions else NOTHING
            if look or concluded.freed:
                plan_anew(connection)
                taken, doomed = lend(connection, wanted, self._keyring.vault)
            page.write(connection, concluded.entries)
        if doomed:
            self._strand_doomed(doomed, now)
        return taken

    def _strand_doomed(self, doomed: Mapping[int, Doom], now: datetime) -> None:
        """Strand what may not be lent, in a transaction of its own: it locks other things."""
        with self._journal.page() as page, self._database.writing() as connection:
            lock(connection, sa.select(delivery.c.conversation).where(delivery.c.id.in_(doomed)))
            rows = connection.execute(
                held_deliveries().where(
                    delivery.c.id.in_(doomed),
                    delivery.c.state == WACHT,
                    delivery.c.due_at <= now,
                )
            ).all()
            deaths = [Death(row.id, *doomed[row.id], now) for row in rows]
            bury(connection, deaths)
            settle(connection, sorted({row.conversation for row in rows}), now)
            page.write(connection, died(rows, deaths))

    def next_due(self, channels: frozenset[Channel]) -> datetime | None:
        """When the next waiting delivery becomes due, or the next lease runs out."""
        with self._database.reading() as connection:
            due: datetime | None = connection.scalar(
                sa.select(delivery.c.due_at)
                .where(
                    scheduled(delivery), delivery.c.channel.in_([each.value for each in channels])
                )
                .order_by(delivery.c.due_at)
                .limit(1)
            )
        return due

    def refill(
        self, ontvanger: Oin, since: datetime, at: datetime, until: datetime | None = None
    ) -> int:
        """Offer again what was offered on a queue since then and never confirmed.

        Not what was erased since: there is nothing left to offer.

        Args:
            until: Leave alone what was offered after this, and what needed no confirmation:
                nobody knows whether it was taken.
        """
        lost = sa.and_(
            on_queue(delivery),
            delivery.c.ontvanger == ontvanger,
            delivery.c.offered_at >= since,
            sa.exists().where(message.c.id == delivery.c.message, unerased(message)),
            *(
                ()
                if until is None
                else (delivery.c.offered_at <= until, delivery.c.awaits_confirmation)
            ),
        )
        count = 0
        with self._database.writing() as connection:
            held = lock(connection, sa.select(delivery.c.conversation).where(lost))
            for start in range(0, len(held), _NAMED_AT_ONCE):
                these = held[start : start + _NAMED_AT_ONCE]
                # Only in what we hold: the broker may have taken more since we looked.
                mine = delivery.c.conversation.in_(these)
                count += connection.execute(_offer_again().where(lost, mine)).rowcount
                settle(connection, these, at)
        return count

    def rechannel(self, channels: Mapping[Oin, Channel], at: datetime) -> int:
        """Give what waits for these parties, or is dead, the channel that they have now.

        It goes there as if it had been recorded now: at once when it is its turn, and its
        age counts from here. What is lent stays where it is, and so does what was offered.

        Returns:
            How many changed.
        """
        if not channels:
            return 0
        astray = _astray(channels, at)
        count = 0
        with self._database.writing() as connection:
            held = lock(connection, sa.select(delivery.c.conversation).where(astray))
            for start in range(0, len(held), _NAMED_AT_ONCE):
                these = held[start : start + _NAMED_AT_ONCE]
                mine = delivery.c.conversation.in_(these)
                count += connection.execute(_redirect(channels).where(astray, mine)).rowcount
                settle(connection, these, at)
        return count

    def heal(self, now: datetime) -> int:
        """Free deliveries that wait for nothing: a sweep against our own mistakes.

        Returns:
            How many it freed; anything but 0 deserves a look.
        """
        with self._database.reading() as connection:
            conversations = connection.scalars(stuck(_HEALED_AT_ONCE)).all()
        if not conversations:
            return 0
        with self._database.writing() as connection:
            lock(connection, conversations)
            return settle(connection, conversations, now)


def _offer_again() -> sa.Update:
    return sa.update(delivery).values(
        state=State.WACHT.value, leased_until=None, unanswered=0, queued_at=None
    )


def _astray(channels: Mapping[Oin, Channel], at: datetime) -> sa.ColumnElement[bool]:
    """Deliveries to these parties that nobody has, on another channel than this."""
    elsewhere = [
        sa.and_(
            delivery.c.ontvanger.in_([oin for oin, now in channels.items() if now is channel]),
            delivery.c.channel != channel.value,
        )
        for channel in sorted(set(channels.values()))
    ]
    lent = delivery.c.leased_until > at
    return sa.and_(
        unfinished(delivery),
        sa.or_(
            sa.and_(
                delivery.c.state == WACHT, sa.or_(delivery.c.leased_until.is_(None), sa.not_(lent))
            ),
            delivery.c.state == GESTRAND,
        ),
        sa.or_(*elsewhere),
    )


def _redirect(channels: Mapping[Oin, Channel]) -> sa.Update:
    names = {str(oin): channel.value for oin, channel in channels.items()}
    return sa.update(delivery).values(
        channel=sa.case(names, value=delivery.c.ontvanger),
        due_at=None,
        leased_until=None,
        queued_at=None,
    )
