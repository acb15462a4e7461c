"""What was kept long enough goes, in small batches beside the work.

Content is erased first: the data key of the message, what it sealed, and the salts of its
evidence, so that what is left says nothing of it. Much later the message is forgotten.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from gateway.adapters.keyring import Keyring
from gateway.adapters.ledger.database import Database
from gateway.adapters.ledger.erasing import (
    delete,
    erase,
    erase_attachments,
    erased_by_term,
    last_signed,
    went_on_request,
)
from gateway.adapters.ledger.journal import Journal
from gateway.adapters.ledger.kerns import erase_kerns
from gateway.adapters.ledger.lapsing import BY, WHY, lapse
from gateway.adapters.ledger.numbering import Conversations, Overtaken
from gateway.adapters.ledger.restricted import is_restricted
from gateway.adapters.ledger.tables import (
    assertion,
    dead_letter,
    delivery,
    message,
    refusal,
    unerased,
    unresolved,
)
from gateway.adapters.ledger.timing import TRIES
from gateway.delivery import State
from gateway.errors import LedgerUnavailable
from gateway.message import Kind, Oin
from gateway.routing.course import Courses
from gateway.routing.retention import Due, Retention

log = logging.getLogger(__name__)

Roles = Mapping[Oin, Collection[str]]
"""The roles of each party in the directory of now."""


class Cursor(NamedTuple):
    """The last message that a sweep looked at."""

    recorded_at: datetime
    number: int


@dataclass(frozen=True, slots=True)
class Swept:
    """What one batch of a sweep came to.

    Attributes:
        after: Where to go on; None when the end was reached.
        counts: By what it was (``inhoud``, …) and kind of message.
    """

    after: Cursor | None
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)


class Sweeping:
    """The part of the ledger that erases and forgets."""

    _database: Database
    _journal: Journal
    _keyring: Keyring
    discard: Callable[..., list[int]]

    def sweep(
        self,
        retention: Retention,
        roles: Roles,
        *,
        rules: Courses,
        now: datetime,
        limit: int,
        after: Cursor | None = None,
        trial: bool = False,
    ) -> Swept:
        """Look at the next messages whose content is there, and erase what is due.

        What was not delivered in time is given up and erased, and its sender is told; where our
        rules fail on one, it is left and all others go.
        Repeat with ``after`` of what it returns, until that is None.

        Args:
            rules: What becomes of its conversation then.
            limit: Look at so many at most, in one transaction.
            trial: Count only.
        """
        with self._journal.page() as page, self._database.writing() as connection:
            rows = connection.execute(
                _candidates(unerased(message), now - retention.soonest, after, limit)
            ).all()
            due = [(_due(retention, roles, row, now), row) for row in rows]
            if not trial:
                erase_attachments(connection, _of(due, Due.ATTACHMENTS))
                erase(connection, _of(due, Due.CONTENT), now)
                page.write(connection, erased_by_term(_of(due, Due.CONTENT), now))
        expired = [row.delivery for row in _of(due, Due.GIVE_UP)]
        left = set() if trial or not expired else self._end_expired(expired, rules, now)
        counts = Counter(
            (what.value, row.soort)
            for what, row in due
            if what is not Due.KEEP and row.delivery not in left
        )
        return Swept(_next(rows, limit), counts)

    def forget(
        self,
        retention: Retention,
        roles: Roles,
        *,
        now: datetime,
        limit: int,
        after: Cursor | None = None,
        trial: bool = False,
    ) -> Swept:
        """Delete the next messages that were erased and kept long enough; else as ``sweep``."""
        with self._database.writing() as connection:
            erased = message.c.erased_at.is_not(None)
            rows = connection.execute(
                _candidates(erased, now - retention.forgetting, after, limit).add_columns(
                    message.c.erased_at,
                    went_on_request().label("on_request"),
                    last_signed().label("last_signed"),
                )
            ).all()
            due = [row for row in rows if _is_forgotten(retention, roles, row, now)]
            if due and not trial:
                delete(connection, due)
        return Swept(_next(rows, limit), Counter(("gegevens", row.soort) for row in due))

    def tidy(
        self, retention: Retention, *, now: datetime, limit: int, trial: bool = False
    ) -> Counter[tuple[str, str]]:
        """Delete what belongs to no message: refusals, used assertions, garbage, and the sealed
        parts of conversations that ended long enough ago.

        Returns:
            How much of each; ``limit`` of one means that there may be more.
        """
        oldest = sa.select(refusal.c.id).where(refusal.c.at <= now - retention.refusals)
        used = sa.select(assertion.c.sha256).where(assertion.c.expires < now)
        unread = sa.select(dead_letter.c.id).where(
            unresolved(dead_letter),
            dead_letter.c.delivery.is_(None),
            dead_letter.c.stranded_at <= now - retention.garbage,
        )
        with self._database.writing() as connection:
            refusals = connection.scalars(oldest.order_by(refusal.c.at).limit(limit)).all()
            assertions = connection.scalars(used.limit(limit)).all()
            garbage = connection.scalars(unread.limit(limit)).all()
            if not trial:
                connection.execute(sa.delete(refusal).where(refusal.c.id.in_(refusals)))
                connection.execute(sa.delete(assertion).where(assertion.c.sha256.in_(assertions)))
            kerns = erase_kerns(connection, now - retention.kerns, limit, trial=trial)
        if garbage and not trial:
            self.discard(garbage, by=BY, why=WHY, at=now)
        found = {
            "weigeringen": len(refusals),
            "tokens": len(assertions),
            "onleesbaar": len(garbage),
            "kernen": kerns,
        }
        return Counter({(name, ""): count for name, count in found.items() if count})

    def _end_expired(self, deliveries: Sequence[int], rules: Courses, now: datetime) -> set[int]:
        """End deliveries that lasted too long.

        Where that fails they are ended one by one.

        Returns:
            Those that our rules fail on; they wait for the next sweep.
        """
        try:
            self._end(deliveries, rules, now)
        except LedgerUnavailable:
            raise
        except Exception as bug:  # noqa: BLE001 - one conversation must not keep all content here
            if len(deliveries) > 1:
                return set().union(*(self._end_expired([each], rules, now) for each in deliveries))
            log.error("retention.passed_over", extra={"fault": type(bug).__name__})  # noqa: TRY400
            return set(deliveries)
        return set()

    def _end(self, deliveries: Sequence[int], rules: Courses, now: datetime) -> None:
        for _ in range(TRIES):
            try:
                with self._journal.page() as page, self._database.writing() as connection:
                    lapse(page, deliveries, Conversations(connection, self._keyring), rules, now)
            except Overtaken:
                continue
            return
        raise LedgerUnavailable("others keep beginning the same conversations")


def _candidates(
    which: sa.ColumnElement[bool], until: datetime, after: Cursor | None, limit: int
) -> sa.Select[Any]:
    """Messages recorded until then, oldest first, with how their deliveries ended.

    Not those that are only stored.
    """
    given_up = (
        sa.select(sa.func.max(dead_letter.c.resolved_at))
        .where(dead_letter.c.delivery == delivery.c.id)
        .scalar_subquery()
    )
    query = (
        sa.select(
            message.c.id,
            message.c.module,
            message.c.major,
            message.c.soort,
            message.c.afzender,
            message.c.referentienummer,
            message.c.ontvanger,
            message.c.recorded_at,
            delivery.c.id.label("delivery"),
            delivery.c.delivery_id,
            delivery.c.conversation,
            delivery.c.state,
            delivery.c.awaits_confirmation,
            delivery.c.offered_at,
            delivery.c.confirmed_at,
            given_up.label("given_up_at"),
        )
        .join_from(message, delivery, delivery.c.message == message.c.id)
        .where(which, message.c.recorded_at <= until, sa.not_(is_restricted()))
        .order_by(message.c.recorded_at, message.c.id)
        .limit(limit)
    )
    if after is None:
        return query
    place = sa.tuple_(message.c.recorded_at, message.c.id)
    reached = sa.tuple_(
        sa.literal(after.recorded_at, message.c.recorded_at.type),
        sa.literal(after.number, message.c.id.type),
    )
    return query.where(place > reached)


def _due(retention: Retention, roles: Roles, row: Any, now: datetime) -> Due:
    terms = retention.terms(_kind(row), roles.get(row.ontvanger, ()))
    return terms.due(recorded=row.recorded_at, finished=finished_at(row), now=now)


def _is_forgotten(retention: Retention, roles: Roles, row: Any, now: datetime) -> bool:
    """Whether nothing of it need be kept; that it went on request is kept as long once more."""
    kept_from = row.erased_at if row.on_request else row.recorded_at
    # an audit misses what was signed less than a term ago
    kept_from = max(kept_from, row.last_signed or kept_from)
    metadata = retention.terms(_kind(row), roles.get(row.ontvanger, ())).metadata
    return bool(now - kept_from >= metadata)


def finished_at(row: Any) -> datetime | None:
    """When nobody had anything left to do with this delivery; None where somebody has."""
    finished: datetime | None = None
    if row.state == State.BEVESTIGD:
        finished = row.confirmed_at or row.offered_at or row.recorded_at
    elif row.state == State.VERWORPEN:
        finished = row.given_up_at or row.recorded_at
    elif row.state == State.AANGEBODEN and not row.awaits_confirmation:
        finished = row.offered_at
    return finished


def _kind(row: Any) -> Kind:
    return Kind(row.module, row.major, row.soort)


def _of(due: Sequence[tuple[Due, Any]], what: Due) -> list[Any]:
    return [row for each, row in due if each is what]


def _next(rows: Sequence[Any], limit: int) -> Cursor | None:
    return Cursor(rows[-1].recorded_at, rows[-1].id) if len(rows) == limit else None
