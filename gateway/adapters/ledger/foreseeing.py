"""What the clock will do, read from the ledger in small portions; nothing is changed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, TypeVar

import sqlalchemy as sa

from gateway.adapters.ledger.among import among
from gateway.adapters.ledger.database import Database
from gateway.adapters.ledger.restricted import is_restricted
from gateway.adapters.ledger.tables import (
    awaits_a_moment,
    conversation,
    delivery,
    to_follow,
    uncollected,
)
from gateway.adapters.ledger.timing import fate_of, fates, told_of
from gateway.delivery import State
from gateway.message import Oin
from gateway.routing.course import Courses, Told
from gateway.routing.foreseen import Anders, Coming, coming
from gateway.routing.stand import read

T = TypeVar("T")

log = logging.getLogger(__name__)

PORTION = 500


class Foreseeing:
    """The part of the ledger that says what will happen by itself."""

    _database: Database

    def foreseen(self, rules: Courses, now: datetime, until: datetime) -> Iterator[Coming]:
        """Everything that the clock will do up to and with an instant, in no order.

        As it is known now: of conversations that only are stored nothing is told. Nor of those
        that our rules fail on: that is logged, and the others are told.
        """
        followed: dict[int, str] = {}
        yield from self._followed(rules, now, until, followed)
        yield from self._notices(rules, now, until)
        for portion in self._due(until):
            for row in portion:
                if row.id not in followed:
                    yield from _read(row.conversatie, row.stand, rules, now, until)

    def _followed(
        self, rules: Courses, now: datetime, until: datetime, stands: dict[int, str]
    ) -> Iterator[Coming]:
        """What becomes known at once: terms begin, senders are told of dead letters.

        Args:
            stands: Gets where the conversations stand afterwards that this changes.
        """
        names: dict[int, str] = {}
        for portion in self._fates(to_follow(delivery), delivery.c.id):
            kept = self._stands(portion)
            for row in portion:
                if row.conversation not in kept:
                    continue
                stand = stands.get(row.conversation, kept[row.conversation])
                told = _told(rules, stand, row, now)
                if told.course is not None:
                    stands[row.conversation] = told.course.stand
                    names[row.conversation] = row.conversatie
                if told.says or (told.course is not None and told.tot_en_met is not None):
                    last = None if told.says else told.tot_en_met
                    yield _of(row, _WHAT.get(State(row.state), Anders.BEGINT), now, last)
        for number, stand_ in stands.items():
            yield from _read(names[number], stand_, rules, now, until)

    def _notices(self, rules: Courses, now: datetime, until: datetime) -> Iterator[Coming]:
        late = sa.and_(uncollected(delivery), delivery.c.notice_at <= until)
        for portion in self._fates(late, delivery.c.notice_at):
            for row in portion:
                if _not_collected(rules, row, now):
                    at = max(row.notice_at, min(now, until))
                    yield _of(row, Anders.NIET_OPGEHAALD, at, None)

    def _fates(self, which: sa.ColumnElement[bool], order: sa.Column[Any]) -> Iterator[list[Any]]:
        """Rows of ``fates`` in the order of this column and their number."""
        place = sa.tuple_(order, delivery.c.id)
        query = fates(which, order).order_by(delivery.c.id).limit(PORTION)
        after: tuple[Any, int] | None = None
        while True:
            wanted = (
                query if after is None else query.where(place > sa.tuple_(*_bound(after, order)))
            )
            with self._database.reading() as connection:
                rows = list(connection.execute(wanted))
            yield rows
            if len(rows) < PORTION:
                return
            last = rows[-1]
            after = (
                (last.notice_at if order is delivery.c.notice_at else last.delivery),
                last.delivery,
            )

    def _stands(self, rows: list[Any]) -> dict[int, str | None]:
        c = conversation.c
        query = sa.select(c.id, c.stand).where(
            among(c.id, {row.conversation for row in rows}), sa.not_(is_restricted(c.id))
        )
        with self._database.reading() as connection:
            return {row.id: row.stand for row in connection.execute(query)}

    def _due(self, until: datetime) -> Iterator[list[Any]]:
        c = conversation.c
        query = (
            sa.select(c.id, c.conversatie, c.stand, c.next_term)
            .where(awaits_a_moment(conversation), c.next_term <= until)
            .where(sa.not_(is_restricted(c.id)))
            .order_by(c.next_term, c.id)
            .limit(PORTION)
        )
        place = sa.tuple_(c.next_term, c.id)
        after: tuple[Any, int] | None = None
        while True:
            wanted = query
            if after is not None:
                wanted = query.where(place > sa.tuple_(*_bound(after, c.next_term)))
            with self._database.reading() as connection:
                rows = list(connection.execute(wanted))
            yield rows
            if len(rows) < PORTION:
                return
            after = rows[-1].next_term, rows[-1].id


def _read(
    conversatie: str, stand: str, rules: Courses, now: datetime, until: datetime
) -> Sequence[Coming]:
    return _asked(
        conversatie, lambda: list(coming(read(stand), conversatie, now, until, rules)), failing=[]
    )


def _told(rules: Courses, stand: str | None, row: Any, now: datetime) -> Told:
    return _asked(row.conversatie, lambda: told_of(rules, stand, row, now), failing=Told(None))


def _not_collected(rules: Courses, row: Any, now: datetime) -> bool:
    return _asked(
        row.conversatie, lambda: bool(rules.not_collected(fate_of(row, now))), failing=False
    )


def _asked(conversatie: str, rules: Callable[[], T], *, failing: T) -> T:
    """What our rules say of a conversation; one on which they fail must not hide all others."""
    try:
        return rules()
    except Exception as bug:  # noqa: BLE001 - whatever the rules raise
        told = {"fault": type(bug).__name__, "place": conversatie}
        log.error("clock.passed_over", extra=told)  # noqa: TRY400
        return failing


_WHAT = {State.GESTRAND: Anders.NIET_AFGELEVERD, State.VERWORPEN: Anders.VERVALLEN}
_SAYS = {
    Anders.NIET_OPGEHAALD: "NietAfgeleverd",
    Anders.NIET_AFGELEVERD: "NietAfgeleverd",
    Anders.VERVALLEN: "Vervallen",
}


def _bound(after: tuple[Any, int], column: sa.Column[Any]) -> tuple[Any, Any]:
    return sa.literal(after[0], column.type), sa.literal(after[1])


def _of(row: Any, wat: Anders, at: datetime, last: Any) -> Coming:
    return Coming(
        at=at,
        wat=wat,
        conversatie=row.conversatie,
        berichtsoort=row.soort,
        referentienummer=row.referentienummer,
        bericht=_SAYS.get(wat),
        voor=Oin(row.ontvanger if wat is Anders.BEGINT else row.afzender),
        tot_en_met=last,
    )
