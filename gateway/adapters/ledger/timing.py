"""What happens in conversations by itself: terms, and what became of deliveries.

Many processes may do this at once. Each thing is found through an index that holds nothing
else, then looked at again once its conversation is locked, and done and written in that same
transaction: so it happens once, however often somebody begins.

Each kind of work does a portion: at most ``limit``, after the first ``passed``, which the caller
could not do and leaves alone for now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from gateway.adapters.keyring import Keyring
from gateway.adapters.ledger import bulk
from gateway.adapters.ledger.among import among
from gateway.adapters.ledger.database import Database
from gateway.adapters.ledger.journal import Journal, Page
from gateway.adapters.ledger.keeping import keep
from gateway.adapters.ledger.numbering import Conversations, Overtaken, Pair, pair_between
from gateway.adapters.ledger.restricted import is_restricted
from gateway.adapters.ledger.tables import (
    awaits_a_moment,
    conversation,
    delivery,
    message,
    to_follow,
    uncollected,
)
from gateway.delivery import Reason, State
from gateway.errors import LedgerUnavailable
from gateway.message import Admitted, Kind, Oin
from gateway.routing.course import Courses, Fate, Told

TRIES = 20
"""So often it begins again when another process was first with a new conversation."""

Work = Callable[[sa.Connection, Page], int]


class RulesFailed(Exception):
    """Our rules failed on one conversation; its cause says how."""

    def __init__(self, conversatie: str) -> None:
        super().__init__(conversatie)
        self.conversatie = conversatie


class Timing:
    """The part of the ledger that the clock works from."""

    _database: Database
    _journal: Journal
    _keyring: Keyring

    def next_term(self) -> datetime | None:
        """When something falls due in any conversation; None when nothing will."""
        query = (
            sa.select(conversation.c.next_term)
            .where(awaits_a_moment(conversation))
            .order_by(conversation.c.next_term)
            .limit(1)
        )
        with self._database.reading() as connection:
            due: datetime | None = connection.scalar(query)
        return due

    def due_terms(self, rules: Courses, now: datetime, limit: int, passed: int = 0) -> int:
        """Do what falls due by now in at most so many conversations.

        Returns:
            In how many something was looked at; fewer than ``limit`` means that no more is due.
        """

        def work(connection: sa.Connection, page: Page) -> int:
            due = _rows_of(connection, connection.scalars(due_now(now, limit, passed)).all())
            conversations = self._hold(connection, [_pair(row) for row in due])
            says: list[Admitted] = []
            for row in due:
                mine = conversations[_pair(row)]
                if mine.stand is None or mine.next_term is None or mine.next_term > now:
                    continue
                with _naming(row):
                    told = rules.due(mine.stand, row.conversatie, now)
                if told.course is not None:
                    mine.follow(told.course, now)
                says += told.says
            keep(page, says, conversations, now)
            return len(due)

        return self._done(work)

    def follow(self, rules: Courses, now: datetime, limit: int, passed: int = 0) -> int:
        """Have conversations know what became of their messages: terms begin, or stand still.

        Returns:
            Of how many deliveries; fewer than ``limit`` means that no more wait for that.
        """

        def work(connection: sa.Connection, page: Page) -> int:
            waiting = fates(to_follow(delivery)).limit(limit).offset(passed)
            found = connection.execute(waiting).all()
            conversations = self._hold(connection, [_pair(row) for row in found])
            again = fates(among(delivery.c.id, [row.delivery for row in found]))
            rows = connection.execute(again.where(to_follow(delivery))).all() if found else []
            says: list[Admitted] = []
            followed = []
            for row in rows:
                mine = conversations[_pair(row)]
                with _naming(row):
                    told = told_of(rules, mine.stand, row, now)
                if told.course is not None and mine.stand is not None:
                    mine.follow(told.course, now)
                says += told.says
                last = told.tot_en_met
                known = None if last is None else last.isoformat()
                followed.append({"id": row.delivery, "followed": row.state, "tot_en_met": known})
            bulk.update(connection, delivery, followed)
            keep(page, says, conversations, now)
            return len(found)

        return self._done(work)

    def notices(self, rules: Courses, now: datetime, limit: int, passed: int = 0) -> int:
        """Tell senders what nobody collected for days; each message once.

        Returns:
            Of how many; fewer than ``limit`` means that no more are due.
        """

        def work(connection: sa.Connection, page: Page) -> int:
            late = sa.and_(uncollected(delivery), delivery.c.notice_at <= now)
            due = fates(late, delivery.c.notice_at).limit(limit).offset(passed)
            found = connection.execute(due).all()
            conversations = self._hold(connection, [_pair(row) for row in found])
            again = fates(among(delivery.c.id, [row.delivery for row in found]))
            rows = connection.execute(again.where(late)).all() if found else []
            says: list[Admitted] = []
            for row in rows:
                with _naming(row):
                    says += rules.not_collected(fate_of(row, now))
            bulk.update(
                connection, delivery, [{"id": row.delivery, "notice_at": None} for row in rows]
            )
            keep(page, says, conversations, now)
            return len(found)

        return self._done(work)

    def _hold(self, connection: sa.Connection, pairs: Sequence[Pair]) -> Conversations:
        """These, and those in which the gateway tells their parties something."""
        conversations = Conversations(connection, self._keyring)
        conversations.hold({each for pair in pairs for each in self._with_own(pair)})
        return conversations

    def _with_own(self, pair: Pair) -> Iterator[Pair]:
        yield pair
        for party in (pair.party_a, pair.party_b):
            yield pair_between(pair.conversatie, self._keyring.signing.oin, party)

    def _done(self, work: Work) -> int:
        for _ in range(TRIES):
            try:
                with self._journal.page() as page, self._database.writing() as connection:
                    return work(connection, page)
            except Overtaken:
                continue
        raise LedgerUnavailable("others keep beginning the same conversations")


@contextmanager
def _naming(row: Any) -> Iterator[None]:
    """Have what our rules raise say on which conversation they did."""
    try:
        yield
    except Exception as bug:
        raise RulesFailed(row.conversatie) from bug


def due_now(now: datetime, limit: int, passed: int = 0) -> sa.Select[int]:
    """Numbers of the conversations in which something is due, the longest due first.

    Nothing else is asked, so that one index answers it: the rows are read of these alone.
    """
    return (
        sa.select(conversation.c.id)
        .where(
            awaits_a_moment(conversation),
            conversation.c.next_term <= now,
            sa.not_(is_restricted(conversation.c.id)),
        )
        .order_by(conversation.c.next_term, conversation.c.id)
        .limit(limit)
        .offset(passed)
    )


def _rows_of(connection: sa.Connection, numbers: Sequence[int]) -> Sequence[Any]:
    if not numbers:
        return ()
    c = conversation.c
    query = sa.select(c.conversatie, c.party_a, c.party_b).where(among(c.id, numbers))
    return connection.execute(query.order_by(c.next_term, c.id)).all()


def fates(which: sa.ColumnElement[bool], order: sa.Column[Any] = delivery.c.id) -> sa.Select[Any]:
    """What became of these deliveries, with their messages and conversations.

    Not where a conversation is only stored: what its parties do not see, nobody can do late.
    """
    return (
        sa.select(
            delivery.c.id.label("delivery"),
            delivery.c.state,
            delivery.c.reason,
            delivery.c.offered_at,
            delivery.c.confirmed_at,
            delivery.c.tot_en_met,
            delivery.c.notice_at,
            delivery.c.conversation,
            conversation.c.conversatie,
            conversation.c.party_a,
            conversation.c.party_b,
            message.c.module,
            message.c.major,
            message.c.soort,
            message.c.versie,
            message.c.referentienummer,
            message.c.afzender,
            message.c.ontvanger,
        )
        .join_from(delivery, message, delivery.c.message == message.c.id)
        .join(conversation, delivery.c.conversation == conversation.c.id)
        .where(which, sa.not_(is_restricted()))
        .order_by(order)
    )


def told_of(rules: Courses, stand: str | None, row: Any, now: datetime) -> Told:
    """What a conversation makes of a row of ``fates``."""
    state = State(row.state)
    if state is State.GESTRAND:
        return rules.died(stand, fate_of(row, now))
    if state is State.VERWORPEN:
        return rules.given_up(stand, fate_of(row, now), "VERWORPEN")
    at = row.offered_at or row.confirmed_at or now
    return rules.lies_ready(stand, fate_of(row, at))


def fate_of(row: Any, at: datetime) -> Fate:
    """A row of ``fates``, as the rules read it."""
    return Fate(
        kind=Kind(row.module, row.major, row.soort),
        versie=row.versie,
        referentienummer=row.referentienummer,
        conversatie=row.conversatie,
        afzender=Oin(row.afzender),
        ontvanger=Oin(row.ontvanger),
        at=at,
        reason=row.reason or Reason.OPGEGEVEN.value,
        tot_en_met=None if row.tot_en_met is None else date.fromisoformat(row.tot_en_met),
    )


def _pair(row: Any) -> Pair:
    return Pair(row.conversatie, Oin(row.party_a), Oin(row.party_b))
