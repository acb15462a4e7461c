"""What was asked and what came of it, for figures and daily digests: metadata, no content.

Everything is found by the instant at which messages were recorded, in portions, so that the
cost depends on the period and not on the size of the ledger. Of conversations that are only
stored (GDPR art. 18) nothing is told.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from gateway.adapters.ledger.among import among
from gateway.adapters.ledger.database import Database
from gateway.adapters.ledger.restricted import is_restricted
from gateway.adapters.ledger.tables import (
    VERWORPEN,
    conversation,
    dead_letter,
    delivery,
    in_postbus,
    message,
    unresolved,
)
from gateway.message import Oin
from gateway.routing import stand as stands
from gateway.routing.conversation import BALANCES, TE_LAAT
from gateway.routing.digest import Happened
from gateway.routing.figures import Answer, Asking, Question
from gateway.routing.stand import Stand, Status
from gateway.routing.table import EITHER

PORTION = 2_000
"""So many messages in one statement."""

Answers = Mapping[tuple[int, str], Sequence[Any]]
"""Messages by the number of their conversation and the question to which they refer."""


@dataclass(frozen=True, slots=True)
class Period:
    """Recorded from ``since`` up to, not with, ``until``; aware, in UTC."""

    since: datetime
    until: datetime


class Figures:
    """The part of the ledger that figures are made from."""

    _database: Database

    def asked(
        self,
        kinds: Mapping[str, Asking],
        period: Period,
        *,
        asker: Oin | None = None,
        asked: Oin | None = None,
    ) -> Iterator[Question]:
        """Every question of these kinds that was recorded in a period, oldest first.

        Answers are found whenever they came.

        Args:
            asker: Only what this party asked.
            asked: Only what this party was asked.
        """
        m, d = message.c, delivery.c
        query = _said(
            m.referentienummer,
            m.soort,
            m.afzender,
            *_DELIVERED,
            _as_answered().label("answered"),
            _by_creditor(kinds).label("by_creditor"),
        ).where(m.soort.in_(sorted(kinds)))
        if asker is not None:
            query = query.where(m.afzender == asker)
        if asked is not None:
            query = query.where(d.ontvanger == asked)
        for portion in _portions(self._database, query, period):
            answers = _answers(self._database, kinds, {row.conversation for row in portion})
            unclear = (row.conversation for row in portion if not row.answered)
            found = _stands(self._database, unclear)
            for row in portion:
                yield _question(row, found.get(row.conversation), kinds[row.soort], answers)

    def with_terms(self, period: Period) -> Iterator[tuple[str, Stand]]:
        """Conversations in which a term may run that a message of this period started; each once.

        Returns:
            The id of each and where it stands.
        """
        waits = [_begins(staat) for staat in sorted(BALANCES)]
        waits.append(conversation.c.stand.contains(f'"{Status.OPEN}"', autoescape=True))
        query = _said(conversation.c.conversatie, conversation.c.stand).where(
            delivery.c.term.is_not(None), conversation.c.ended_at.is_(None), sa.or_(*waits)
        )
        seen: set[int] = set()
        for portion in _portions(self._database, query, period):
            for row in portion:
                if row.conversation not in seen:
                    seen.add(row.conversation)
                    yield row.conversatie, stands.read(row.stand)

    def answers(self, kinds: Mapping[str, Asking], period: Period) -> Iterator[Happened]:
        """What was answered in a period."""
        closing = sorted({kind for asking in kinds.values() for kind in asking.answers})
        query = _happened().where(
            message.c.soort.in_(closing),
            message.c.cross.is_not(None),
            delivery.c.state != VERWORPEN,
        )
        yield from _what_happened(self._database, query, period)

    def never_collected(self, period: Period, before: datetime) -> Iterator[Happened]:
        """What was recorded in a period and lies in a postbus from which it was never taken.

        Args:
            before: Only what lay there by then.
        """
        query = _happened().where(
            in_postbus(delivery),
            delivery.c.collected_at.is_(None),
            delivery.c.offered_at < before,
        )
        yield from _what_happened(self._database, query, period)

    def stranded(self) -> Iterator[Happened]:
        """What is dead and waits for an operator, in conversations that the rules know."""
        query = (
            sa.select(
                conversation.c.conversatie,
                conversation.c.stand,
                message.c.afzender,
                delivery.c.ontvanger,
                delivery.c.offered_at,
            )
            .join_from(dead_letter, delivery, dead_letter.c.delivery == delivery.c.id)
            .join(message, delivery.c.message == message.c.id)
            .join(conversation, delivery.c.conversation == conversation.c.id)
            .where(unresolved(dead_letter), *_KNOWN)
        )
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        yield from _told(rows)


_KNOWN = (conversation.c.stand.is_not(None), sa.not_(is_restricted(conversation.c.id)))
"""The rules have a say in it, and it is more than stored."""

_DELIVERED = (
    delivery.c.ontvanger,
    delivery.c.offered_at,
    delivery.c.confirmed_at,
    delivery.c.term,
    delivery.c.tot_en_met,
    conversation.c.conversatie,
    conversation.c.ended_at,
)


def _said(*columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """Messages with their delivery and conversation."""
    return (
        sa.select(
            message.c.id,
            message.c.recorded_at,
            delivery.c.conversation,
            *columns,
        )
        .join_from(message, delivery, delivery.c.message == message.c.id)
        .join(conversation, delivery.c.conversation == conversation.c.id)
        .where(*_KNOWN)
    )


def _happened() -> sa.Select[Any]:
    return _said(
        conversation.c.conversatie,
        conversation.c.stand,
        message.c.afzender,
        delivery.c.ontvanger,
        delivery.c.offered_at,
    )


def _what_happened(database: Database, query: sa.Select[Any], period: Period) -> Iterator[Happened]:
    for portion in _portions(database, query, period):
        yield from _told(portion)


def _portions(
    database: Database, query: sa.Select[Any], period: Period, *, size: int = PORTION
) -> Iterator[Sequence[Any]]:
    """The rows of a query by ``_said``, in the order in which they were recorded."""
    at, number = message.c.recorded_at, message.c.id
    query = query.where(at < period.until).order_by(at, number).limit(size)
    wanted = query.where(at >= period.since)
    while True:
        with database.reading() as connection:
            rows = connection.execute(wanted).all()
        yield rows
        if len(rows) < size:
            return
        last = rows[-1]
        later = sa.or_(at > last.recorded_at, number > last.id)
        wanted = query.where(at >= last.recorded_at, later)


def _answers(database: Database, kinds: Mapping[str, Asking], numbers: Collection[int]) -> Answers:
    closing = sorted({kind for asking in kinds.values() for kind in asking.answers})
    m, d = message.c, delivery.c
    late = sa.cast(m.warnings, sa.Text).contains(TE_LAAT, autoescape=True).label("late")
    query = (
        sa.select(d.conversation, m.cross, m.soort, m.afzender, m.recorded_at, late)
        .join_from(delivery, message, d.message == m.id)
        .where(
            among(d.conversation, sorted(numbers)),
            m.soort.in_(closing),
            m.cross.is_not(None),
            d.state != VERWORPEN,
        )
        .order_by(m.recorded_at)
    )
    found: dict[tuple[int, str], list[Any]] = {}
    with database.reading() as connection:
        for row in connection.execute(query).all():
            found.setdefault((row.conversation, row.cross), []).append(row)
    return found


def _stands(database: Database, numbers: Iterable[int]) -> dict[int, Stand]:
    c = conversation.c
    query = sa.select(c.id, c.stand).where(among(c.id, sorted(set(numbers))))
    with database.reading() as connection:
        return {row.id: stands.read(row.stand) for row in connection.execute(query)}


def _told(rows: Iterable[Any]) -> Iterator[Happened]:
    helpers: dict[str, Oin | None] = {}
    for row in rows:
        if row.conversatie not in helpers:
            helpers[row.conversatie] = stands.read(row.stand).shv
        yield Happened(
            row.conversatie,
            helpers[row.conversatie],
            Oin(row.afzender),
            Oin(row.ontvanger),
            row.offered_at,
        )


def _as_answered() -> sa.ColumnElement[bool]:
    """The rules remember this question as answered: as ``stand.as_text`` writes it.

    So the stand of most conversations need not be read. Where this does not see it, it is.
    """
    m = message.c
    said = m.referentienummer + '","' + m.soort + '","' + m.afzender
    return conversation.c.stand.like("%" + said + f'","{Status.BEANTWOORD}"%')


def _by_creditor(kinds: Mapping[str, Asking]) -> sa.ColumnElement[bool]:
    """Of what either side may ask: the creditor asks, or the helper is asked."""
    c, m, d = conversation.c, message.c, delivery.c
    either = sorted(soort for soort, asking in kinds.items() if asking.by == EITHER)
    said = sa.or_(
        c.stand.like('%"se":"' + m.afzender + '"%'), c.stand.like('%"shv":"' + d.ontvanger + '"%')
    )
    # asked of those kinds alone: it reads all of a long text
    return sa.case((m.soort.in_(either), said), else_=sa.false())


def _begins(staat: str) -> sa.ColumnElement[bool]:
    return conversation.c.stand.startswith(f'{{"staat":"{staat}",', autoescape=True)


def _question(row: Any, stand: Stand | None, asking: Asking, answers: Answers) -> Question:
    fits = (
        each
        for each in answers.get((row.conversation, row.referentienummer), ())
        if each.soort in asking.answers and each.afzender != row.afzender
    )
    first = next(fits, None)
    return Question(
        referentienummer=row.referentienummer,
        conversatie=row.conversatie,
        soort=row.soort,
        asker=Oin(row.afzender),
        asked=Oin(row.ontvanger),
        asked_at=row.recorded_at,
        by_helper=not row.by_creditor if asking.by == EITHER else asking.by == "shv",
        stand=stand,
        available=row.offered_at or row.confirmed_at,
        term=row.term,
        tot_en_met=None if row.tot_en_met is None else date.fromisoformat(row.tot_en_met),
        ended_at=row.ended_at,
        answer=None if first is None else Answer(first.recorded_at, bool(first.late)),
    )
