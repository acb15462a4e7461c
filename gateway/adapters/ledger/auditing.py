"""Is everything in the ledger still what was signed, and is everything signed still there?

Reads in batches, each in one snapshot, so that a ledger may be audited while it is written,
in memory that does not grow with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from gateway import json
from gateway.adapters.keyring import Keyring
from gateway.adapters.ledger.audited import of_deliveries
from gateway.adapters.ledger.database import Clock, Database
from gateway.adapters.ledger.receipts import ACCEPTED, leaves_of, signed_of
from gateway.adapters.ledger.sealing import (
    CANONICAL,
    ORIGINAL,
    Attachments,
    data_key,
    is_cut,
    whole,
)
from gateway.adapters.ledger.tables import checkpoint, day_close, evidence, message
from gateway.adapters.published_keys import verifier
from gateway.adapters.vault import SealBroken
from gateway.audit import (
    Chain,
    Closed,
    Days,
    Flaw,
    KeptClose,
    Row,
    Sort,
    Verify,
    judge_delivery,
    judge_entries,
)
from gateway.errors import Refusal
from gateway.evidence import Head, accepted_entry, day_close_of, day_close_text
from gateway.routing.retention import Retention, read

CHECKPOINTS_AT_ONCE = 200
MESSAGES_AT_ONCE = 500
OPENED_BYTES = 8 * 1024 * 1024
"""No more content than this is opened at once, except where one message carries more."""

UNREADABLE = (KeyError, TypeError, ValueError, OverflowError, Refusal)
"""What reading a day close raises that is none."""

Step = Callable[[int], None]
"""Told how many rows were looked at since the last time."""


class Auditing:
    """The part of the ledger that doubts the rest."""

    _database: Database
    _keyring: Keyring
    _clock: Clock

    def audit(
        self,
        verify: Verify | None = None,
        heads: Iterable[Head] = (),
        step: Step = lambda _: None,
        retention: Retention | None = None,
    ) -> list[Flaw]:
        """Everything that is wrong with the ledger; empty when nothing is.

        Args:
            verify: Whom to believe; the gateway's own published keys by default.
            heads: What others hold, and so must be there still.
            step: For a progress bar; ``audit_size`` says how much there is.
            retention: What is older than its terms may be gone; those of this gateway by default.
        """
        terms, now = retention or read(), self._clock()
        believed = verify or verifier(self._keyring.signing.published())
        return [
            *self._logs(believed, step, forgotten=now - terms.forgetting),
            *self._messages(step, bared=now - terms.soonest),
            *self._days(believed),
            *self._heads(heads),
        ]

    def audit_size(self) -> int:
        """How many rows an audit looks at, about."""
        with self._database.reading() as connection:
            counts = [
                connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0
                for table in (checkpoint, message)
            ]
        return sum(counts)

    def _logs(self, verify: Verify, step: Step, *, forgotten: datetime) -> Iterator[Flaw]:
        chain, closed, after = Chain(verify), self._closed(), ("", 0)
        while True:
            with self._database.snapshot() as connection:
                points = _points(connection, after)
                until = (points[-1].log, points[-1].number) if points else None
                entries = _entries(connection, after, until)
            yield from _judge_points(chain, closed, points, entries, forgotten)
            if until is None:
                return
            after = until
            step(len(points))

    def _messages(self, step: Step, *, bared: datetime) -> Iterator[Flaw]:
        after = 0
        while True:
            with self._database.snapshot() as connection:
                rows = connection.execute(
                    _MESSAGES.where(message.c.id > after).limit(MESSAGES_AT_ONCE)
                ).all()
                if not rows:
                    return
                yield from _unaccepted(connection, rows)
                for standing in of_deliveries(connection, [row.id for row in rows]):
                    yield from judge_delivery(standing)
            yield from self._contents([row for row in rows if row.wrapped_key is not None], bared)
            after = rows[-1].id
            step(len(rows))

    def _contents(self, rows: Sequence[Any], bared: datetime) -> Iterator[Flaw]:
        """Messages that cannot be opened, or are not what was received.

        Of those from before ``bared`` the attachments may be gone.
        """
        for some in _within(rows, OPENED_BYTES):
            with self._database.reading() as connection:
                bodies = connection.execute(
                    sa.select(message).where(message.c.id.in_([row.id for row in some]))
                ).all()
                apart = Attachments(connection)
                yield from (
                    Flaw(Sort.CONTENT, _named(row))
                    for row in bodies
                    if row.wrapped_key is not None
                    and not self._opens(row, apart)
                    and not (row.recorded_at <= bared and self._is_bared(row, apart))
                )

    def _opens(self, row: Any, apart: Attachments) -> bool:
        try:
            key = data_key(self._keyring.vault, row)
            body = whole(key, ORIGINAL, row.original, lambda: apart.of(row.id))
            whole(key, CANONICAL, row.canonical, lambda: apart.of(row.id))
        except SealBroken:
            return False
        return bool(hashlib.sha256(body).hexdigest() == row.original_sha256)

    def _is_bared(self, row: Any, apart: Attachments) -> bool:
        """Whether all of it is there but its attachments."""
        try:
            key = data_key(self._keyring.vault, row)
            opened = [key.open(ORIGINAL, row.original), key.open(CANONICAL, row.canonical)]
        except SealBroken:
            return False
        return not apart.of(row.id) and any(map(is_cut, opened))

    def _closed(self) -> Closed:
        """What the day closes until now say; read before the checkpoints that they precede."""
        closed = Closed()
        query = sa.select(day_close.c.content).order_by(day_close.c.day)
        with self._database.reading() as connection:
            contents = connection.scalars(query).all()
        for content in contents:
            with suppress(*UNREADABLE):  # told where the day closes themselves are judged
                closed.add(day_close_of(content))
        return closed

    def _days(self, verify: Verify) -> Iterator[Flaw]:
        days = Days(verify)
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(day_close).order_by(day_close.c.day)).all()
        for row in rows:
            try:
                kept = KeptClose(day_close_of(row.content), row.kid, row.signature)
            except UNREADABLE:
                yield Flaw(Sort.UNREADABLE, f"dagafsluiting {row.day}")
                continue
            if kept.close.day != row.day:
                yield Flaw(Sort.STATE, f"dagafsluiting {row.day}")
            yield from days.flaws(kept, day_close_text(row.content))
            yield from self._heads(kept.close.heads)

    def _heads(self, heads: Iterable[Head]) -> Iterator[Flaw]:
        for head in heads:
            with self._database.reading() as connection:
                row = connection.execute(
                    sa.select(checkpoint).where(
                        checkpoint.c.log == head.log, checkpoint.c.number == head.number
                    )
                ).one_or_none()
            if row is None:
                yield Flaw(Sort.HEAD_MISSING, f"{head.log}/{head.number}")
            elif signed_of(row).checkpoint.head != head.head:
                yield Flaw(Sort.FORK, f"{head.log}/{head.number}")


_MESSAGES = sa.select(
    message.c.id,
    message.c.afzender,
    message.c.referentienummer,
    message.c.size,
    message.c.wrapped_key,
).order_by(message.c.id)


def _named(row: Any) -> str:
    return f"bericht {row.referentienummer} van {row.afzender}"


def _points(connection: sa.Connection, after: tuple[str, int]) -> Sequence[Any]:
    place = sa.tuple_(checkpoint.c.log, checkpoint.c.number)
    return connection.execute(
        sa.select(checkpoint)
        .where(place > sa.tuple_(*after))
        .order_by(checkpoint.c.log, checkpoint.c.number)
        .limit(CHECKPOINTS_AT_ONCE)
    ).all()


def _entries(
    connection: sa.Connection, after: tuple[str, int], until: tuple[str, int] | None
) -> Sequence[Any]:
    """Entries of the checkpoints after one and up to another, with what is left of the message."""
    place = sa.tuple_(evidence.c.log, evidence.c.number)
    query = (
        sa.select(
            evidence,
            message.c.id.label("found"),
            message.c.receipt,
            message.c.original_sha256,
            message.c.erased_at,
        )
        .select_from(evidence.outerjoin(message, evidence.c.message == message.c.id))
        .where(place > sa.tuple_(*after))
        .order_by(evidence.c.log, evidence.c.number, evidence.c.place)
    )
    if until is not None:
        query = query.where(place <= sa.tuple_(*until))
    else:
        query = query.limit(MESSAGES_AT_ONCE)  # none of these has a checkpoint; a few will do
    return connection.execute(query).all()


def _judge_points(
    chain: Chain,
    closed: Closed,
    points: Sequence[Any],
    entries: Sequence[Any],
    forgotten: datetime,
) -> Iterator[Flaw]:
    def of(row: Any) -> tuple[str, int]:
        return row.log, row.number

    under = {place: list(rows) for place, rows in groupby(entries, of)}
    for row in points:
        signed = signed_of(row)
        yield from chain.flaws(signed)
        yield from closed.flaws(signed.checkpoint)
        mine = under.pop(of(row), [])
        yield from judge_entries(
            signed.checkpoint,
            leaves_of(row),
            map(_row, mine),
            forgotten=signed.checkpoint.at <= forgotten,
        )
        yield from (flaw for each in mine for flaw in _misnamed(each))
    for log, number in under:
        yield Flaw(Sort.ENTRY_EXTRA, f"{log}/{number}")


def _row(row: Any) -> Row:
    text: bytes | None = None
    if row.entry is not None:
        text = row.entry.encode()
    elif row.found is not None and row.original_sha256 is not None:
        text = accepted_entry(row.receipt, row.original_sha256)
    return Row(row.place, row.salt, text, erased=row.found is not None and bool(row.erased_at))


def _misnamed(row: Any) -> Iterator[Flaw]:
    """An entry that lies under another sort or message than it says."""
    if row.message is not None and row.found is None:
        yield Flaw(Sort.MESSAGE_MISSING, f"{row.log}/{row.number}/{row.place}")
    if row.entry is None:
        return
    try:
        told = json.parse(row.entry.encode())
    except Refusal:
        told = {}
    if told.get("soort") != row.soort:
        yield Flaw(Sort.LEAF, f"{row.log}/{row.number}/{row.place}")


def _unaccepted(connection: sa.Connection, rows: Sequence[Any]) -> Iterator[Flaw]:
    """Messages of which nobody signed that they were accepted."""
    proven = set(
        connection.scalars(
            sa.select(evidence.c.message).where(
                evidence.c.message.in_([row.id for row in rows]), evidence.c.soort == ACCEPTED
            )
        )
    )
    for row in rows:
        if row.id not in proven:
            yield Flaw(Sort.UNPROVEN, _named(row))


def _within(rows: Sequence[Any], budget: int) -> Iterator[list[Any]]:
    some: list[Any] = []
    size = 0
    for row in rows:
        if some and size + row.size > budget:
            yield some
            some, size = [], 0
        some.append(row)
        size += row.size
    if some:
        yield some
