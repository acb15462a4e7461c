"""Lend out what is due, and write down what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import takewhile
from typing import Any, NamedTuple

import sqlalchemy as sa

from gateway.adapters.keyring import Keyring
from gateway.adapters.ledger.among import among
from gateway.adapters.ledger.concluding import NOTHING, conclude
from gateway.adapters.ledger.database import Database, plan_anew
from gateway.adapters.ledger.graveyard import Death, bury
from gateway.adapters.ledger.happenings import died, held_deliveries
from gateway.adapters.ledger.journal import Journal
from gateway.adapters.ledger.lending import load, sizes, within
from gateway.adapters.ledger.order import lock, settle, stuck
from gateway.adapters.ledger.restricted import is_restricted
from gateway.adapters.ledger.tables import (
    GESTRAND,
    LEASES_WITHOUT_ANSWER,
    WACHT,
    delivery,
    on_queue,
    scheduled,
    unfinished,
)
from gateway.adapters.vault import Vault
from gateway.delivery import Conclusion, Reason, State
from gateway.message import Channel, Delivery, Oin

LENT_BYTES = 64 * 1024 * 1024
"""No more content than this is lent at once, except where one message carries more."""

SUSPECT_AFTER = 2
"""So many leases that ran out in a row are no accident: from then on it is lent alone."""

_HEALED_AT_ONCE = 1_000
_NAMED_AT_ONCE = 10_000  # a lost queue may hold more than one statement can name


class Wanted(NamedTuple):
    """What a courier asks for; see ``Ledger.lease``."""

    now: datetime
    until: datetime
    limit: int
    channels: frozenset[Channel]
    closed: frozenset[Oin] = frozenset()


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
        content cannot be opened.
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
                taken, doomed = _lend(connection, wanted, self._keyring.vault)
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

        Args:
            until: Leave alone what was offered after this.
        """
        lost = sa.and_(
            on_queue(delivery),
            delivery.c.ontvanger == ontvanger,
            delivery.c.offered_at >= since,
            sa.true() if until is None else delivery.c.offered_at <= until,
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


def _take(ids: Sequence[int], until: datetime) -> sa.Update:
    ran_out = delivery.c.leased_until.is_not(None)
    return (
        sa.update(delivery)
        .where(among(delivery.c.id, ids))
        .values(
            attempts=delivery.c.attempts + 1,
            fence=delivery.c.fence + 1,
            unanswered=sa.case((ran_out, delivery.c.unanswered + 1), else_=0),
            leased_until=until,
            due_at=until,  # a lease that runs out is due again, without a sweep
        )
    )


class Doom(NamedTuple):
    """Why a delivery may not be lent any more."""

    reason: Reason
    note: str


_KILLER = Doom(Reason.AFLEVERLIMIET, f"onbeantwoord-{LEASES_WITHOUT_ANSWER}")


def _lend(
    connection: sa.Connection, wanted: Wanted, vault: Vault
) -> tuple[list[Delivery], dict[int, Doom]]:
    """Take what is due; what must not be taken comes back by its number."""
    due = connection.execute(
        sizes()
        .add_columns(delivery.c.unanswered, delivery.c.leased_until)
        .where(
            scheduled(delivery),
            delivery.c.due_at <= wanted.now,
            among(delivery.c.channel, [each.value for each in wanted.channels]),
            sa.not_(among(delivery.c.ontvanger, wanted.closed)),
            sa.not_(is_restricted()),
        )
        .order_by(delivery.c.due_at, delivery.c.id)
        .limit(wanted.limit)
        .with_for_update(of=delivery, skip_locked=True)
    ).all()
    doomed = {
        row.id: _KILLER
        for row in due
        if row.leased_until is not None and row.unanswered >= LEASES_WITHOUT_ANSWER
    }
    healthy = _apart([row for row in due if row.id not in doomed])
    opened, broken = load(connection, within(healthy, LENT_BYTES), vault, taken=True)
    if opened:
        connection.execute(_take([row.id for row, _ in opened], wanted.until))
    doomed.update({each.row.id: Doom(Reason.ONLEESBAAR, each.note) for each in broken})
    return [each for _, each in opened], doomed


def _apart(rows: Sequence[Any]) -> Sequence[Any]:
    """The first of these up to one whose leases keep running out; that one goes alone.

    It may be what kills its worker, and what was lent with it would strand with it.
    """
    sound = list(
        takewhile(lambda row: row.leased_until is None or row.unanswered < SUSPECT_AFTER, rows)
    )
    return sound or rows[:1]
