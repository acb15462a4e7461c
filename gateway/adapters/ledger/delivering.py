"""Lend out what is due, and write down what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import takewhile
from typing import Any, NamedTuple

import sqlalchemy as sa

from gateway.adapters.keyring import Keyring
from gateway.adapters.ledger import bulk
from gateway.adapters.ledger.among import among
from gateway.adapters.ledger.database import Database
from gateway.adapters.ledger.graveyard import Death, bury
from gateway.adapters.ledger.happenings import ATTEMPTED, died, happened, held_deliveries
from gateway.adapters.ledger.journal import Entry, Journal
from gateway.adapters.ledger.lending import load, sizes, within
from gateway.adapters.ledger.order import lock, settle, stuck
from gateway.adapters.ledger.tables import (
    GESTRAND,
    LEASES_WITHOUT_ANSWER,
    WACHT,
    attempt,
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
        with self._journal.page() as page, self._database.writing() as connection:
            entries = _conclude(connection, conclusions)
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
    ) -> list[Delivery]:
        """``conclude`` and then ``lease``, in one transaction: half the work for the same."""
        wanted = Wanted(now, until, limit, channels, closed)
        with self._journal.page() as page, self._database.writing() as connection:
            entries = _conclude(connection, conclusions) if conclusions else []
            taken, doomed = _lend(connection, wanted, self._keyring.vault)
            page.write(connection, entries)
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


def _conclude(connection: sa.Connection, conclusions: Sequence[Conclusion]) -> list[Entry]:
    """Write conclusions whose fence holds; returns what happened, for the journal."""
    told = {(each.delivery_id, each.fence): each for each in conclusions}
    named = among(delivery.c.delivery_id, {each.delivery_id for each in conclusions})
    lock(connection, sa.select(delivery.c.conversation).where(named))
    rows = connection.execute(
        held_deliveries().where(named, delivery.c.leased_until.is_not(None))
    ).all()
    heard = [
        (row, told[row.delivery_id, row.fence])
        for row in rows
        if (row.delivery_id, row.fence) in told
    ]
    if heard:
        _write(connection, heard)
    return [_attempted(row, conclusion) for row, conclusion in heard]


def _attempted(row: Any, told: Conclusion) -> Entry:
    return happened(
        ATTEMPTED,
        row,
        told.ended_at,
        poging=row.attempts,
        antwoord=told.attempted.answer.value,
        status=told.attempted.status,
        verzondenSha256=told.sent_sha256,
        gevolg=told.state.value,
    )


def _write(connection: sa.Connection, heard: list[tuple[Any, Conclusion]]) -> None:
    """Write attempts and new states of deliveries whose rows and conversations are held."""
    bulk.insert(connection, attempt, [_attempt_row(row, told) for row, told in heard])
    # Confirmed or stranded by the recipient while we were still hearing from the channel:
    # the attempt is evidence, but the state has moved on.
    open_ = [(row, told) for row, told in heard if row.state == State.WACHT]
    late = [(row, told) for row, told in heard if row.state != State.WACHT]
    moves = [_moved(*each) for each in open_] + [_late(*each) for each in late]
    bulk.update(connection, delivery, moves)
    bury(connection, [_death(*each) for each in open_ if each[1].state is State.GESTRAND])
    latest = max(told.ended_at for _, told in heard)
    settle(connection, sorted({row.conversation for row, _ in heard}), latest)


def _moved(row: Any, told: Conclusion) -> dict[str, Any]:
    reached = told.state in (State.AANGEBODEN, State.BEVESTIGD)
    return {
        "id": row.id,
        # A dead one is only given back here; it is buried in the next step.
        "state": (State.WACHT if told.state is State.GESTRAND else told.state).value,
        "due_at": told.retry_at if told.state is State.WACHT else None,
        "offered_at": told.ended_at if reached else row.offered_at,
        "confirmed_at": told.ended_at if told.state is State.BEVESTIGD else row.confirmed_at,
        "leased_until": None,
        "unanswered": 0,
    }


def _late(row: Any, told: Conclusion) -> dict[str, Any]:
    reached = told.state in (State.AANGEBODEN, State.BEVESTIGD)
    return {
        "id": row.id,
        "state": row.state,
        "due_at": None,
        "offered_at": row.offered_at or (told.ended_at if reached else None),
        "confirmed_at": row.confirmed_at,
        "leased_until": None,
        "unanswered": 0,
    }


def _death(row: Any, told: Conclusion) -> Death:
    reason = told.reason or Reason.OPGEGEVEN
    status = told.attempted.status
    note = told.attempted.note or (f"http-{status}" if status is not None else "")
    return Death(row.id, reason, note, told.ended_at)


def _attempt_row(row: Any, told: Conclusion) -> dict[str, Any]:
    return {
        "delivery": row.id,
        "number": row.attempts,
        "started_at": told.started_at,
        "ended_at": told.ended_at,
        "answer": told.attempted.answer.value,
        "status": told.attempted.status,
        "note": told.attempted.note,
        "sent_sha256": told.sent_sha256,
    }
