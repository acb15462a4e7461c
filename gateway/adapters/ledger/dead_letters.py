"""Dead letters: how they come to be, and what an operator sees of them."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from gateway.adapters.keyring import Keyring
from gateway.adapters.ledger.database import Database, insert_into
from gateway.adapters.ledger.graveyard import Death, bury
from gateway.adapters.ledger.happenings import died, held_deliveries
from gateway.adapters.ledger.journal import Journal
from gateway.adapters.ledger.order import lock, settle
from gateway.adapters.ledger.tables import (
    RELEASED,
    conversation,
    dead_letter,
    delivery,
    has_ended,
    let_pass,
    message,
    unresolved,
)
from gateway.dead_letter import DeadLetter, DeadLetterFilter, Stranding
from gateway.delivery import Reason, State
from gateway.message import Channel, Kind, Oin


class DeadLetters:
    """The part of the ledger that the keeper fills and operators read."""

    _database: Database
    _journal: Journal
    _keyring: Keyring

    def strand(self, strandings: Sequence[Stranding]) -> None:
        """Make dead letters of these. The same stranding twice is one dead letter.

        What was confirmed or discarded stays so. What the broker gave back under an id
        that the ledger does not know is kept as garbage; what a party says about an id that
        is not its own changes nothing.
        """
        if not strandings:
            return
        named = delivery.c.delivery_id.in_({each.delivery_id for each in strandings} - {None})
        with self._journal.page() as page, self._database.writing() as connection:
            lock(connection, sa.select(delivery.c.conversation).where(named))
            rows = connection.execute(held_deliveries().where(named)).all()
            told = _told(rows, strandings)
            deaths = [
                _death(row.id, told[row.id])
                for row in rows
                if row.id in told and row.state in (State.WACHT, State.AANGEBODEN)
            ]
            bury(connection, deaths)
            _explain(
                connection,
                {
                    row.id: told[row.id].note
                    for row in rows
                    if row.id in told and row.state == State.GESTRAND and told[row.id].explained
                },
            )
            latest = max(each.at for each in strandings)
            settle(connection, sorted({row.conversation for row in rows}), latest)
            known = {row.delivery_id for row in rows}
            unknown = [each for each in strandings if each.delivery_id not in known]
            _keep_garbage(
                connection, [each for each in unknown if not each.explained], self._keyring
            )
            page.write(connection, died(rows, deaths))

    def dead_letters(self, which: DeadLetterFilter) -> list[DeadLetter]:
        """Dead letters that match, newest first; with ``resolved`` all that ever were."""
        query = (
            sa.select(*_COLUMNS)
            .select_from(_JOINED)
            .where(*_conditions(which))
            .order_by(dead_letter.c.stranded_at.desc(), dead_letter.c.id.desc())
            .limit(which.limit)
        )
        with self._database.reading() as connection:
            return [_as_dead_letter(row) for row in connection.execute(query)]

    def garbage(self, number: int) -> bytes | None:
        """What nobody could read, as it came; None where there is none (any more).

        Raises:
            SealBroken, VaultKeyMissing: it cannot be opened.
        """
        query = sa.select(dead_letter.c.garbage, dead_letter.c.garbage_digest).where(
            dead_letter.c.id == number
        )
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        if row is None or row.garbage is None:
            return None
        return self._keyring.vault.open_alone(about_garbage(row.garbage_digest), row.garbage)

    def count_dead_letters(self, which: DeadLetterFilter) -> dict[tuple[str, str, str], int]:
        """Counts per (ontvanger, soort, reason), ignoring ``limit``; garbage has ""."""
        groups = (
            sa.func.coalesce(delivery.c.ontvanger, ""),
            sa.func.coalesce(message.c.soort, ""),
            dead_letter.c.reason,
        )
        query = (
            sa.select(*groups, sa.func.count())
            .select_from(_JOINED)
            .where(*_conditions(which))
            .group_by(*groups)
        )
        with self._database.reading() as connection:
            return {(row[0], row[1], row[2]): row[3] for row in connection.execute(query)}


def _told(rows: Sequence[Any], strandings: Sequence[Stranding]) -> dict[int, Stranding]:
    """What counts for each delivery: who explains goes first, strangers do not count."""
    told: dict[int, Stranding] = {}
    by_delivery = {row.delivery_id: row for row in rows}
    for each in sorted(strandings, key=lambda each: not each.explained):
        row = by_delivery.get(each.delivery_id)
        if row is not None and each.ontvanger in (None, row.ontvanger):
            told.setdefault(row.id, each)
    return told


def _explain(connection: sa.Connection, notes: dict[int, str]) -> None:
    """Note why, on dead letters of which only the broker told so far."""
    if notes:
        note = sa.case(notes, value=dead_letter.c.delivery)
        connection.execute(
            sa.update(dead_letter)
            .where(dead_letter.c.delivery.in_(notes), unresolved(dead_letter))
            .values(note=note)
        )


_JOINED = (
    dead_letter.outerjoin(delivery, dead_letter.c.delivery == delivery.c.id)
    .outerjoin(message, delivery.c.message == message.c.id)
    .outerjoin(conversation, delivery.c.conversation == conversation.c.id)
)

# In two, so that each finds its own index.
_open = dead_letter.alias("open")
_released = dead_letter.alias("released")
_REPAIRABLE = sa.union_all(
    sa.select(_open.c.id).where(unresolved(_open)),
    sa.select(_released.c.id)
    .join_from(delivery, _released, _released.c.delivery == delivery.c.id)
    .where(let_pass(delivery), _released.c.resolved == RELEASED),
)

_COLUMNS = (
    dead_letter.c.id,
    dead_letter.c.reason,
    dead_letter.c.note,
    dead_letter.c.stranded_at,
    dead_letter.c.resolved,
    dead_letter.c.resolved_by,
    dead_letter.c.resolved_why,
    dead_letter.c.resolved_at,
    delivery.c.delivery_id,
    delivery.c.ontvanger,
    delivery.c.channel,
    delivery.c.attempts,
    message.c.afzender,
    message.c.module,
    message.c.major,
    message.c.soort,
    message.c.referentienummer,
    message.c.conversatie,
    sa.func.coalesce(has_ended(message), sa.false()).label("ended"),
)


def _conditions(which: DeadLetterFilter) -> list[sa.ColumnElement[bool]]:
    narrowed: tuple[tuple[Any, Callable[[Any], sa.ColumnElement[bool]]], ...] = (
        (which.ids, dead_letter.c.id.in_),
        (which.ontvanger, delivery.c.ontvanger.__eq__),
        (which.afzender, message.c.afzender.__eq__),
        (which.module, message.c.module.__eq__),
        (which.soort, message.c.soort.__eq__),
        (which.reason, dead_letter.c.reason.__eq__),
        (which.since, dead_letter.c.stranded_at.__ge__),
        (which.until, dead_letter.c.stranded_at.__lt__),
    )
    conditions = [holds(value) for value, holds in narrowed if value]
    return conditions if which.resolved else [*conditions, dead_letter.c.id.in_(_REPAIRABLE)]


def _as_dead_letter(row: Any) -> DeadLetter:
    return DeadLetter(
        id=row.id,
        delivery_id=row.delivery_id,
        reason=Reason(row.reason),
        note=row.note,
        stranded_at=row.stranded_at,
        ontvanger=Oin(row.ontvanger) if row.ontvanger else None,
        afzender=Oin(row.afzender) if row.afzender else None,
        kind=Kind(row.module, row.major, row.soort) if row.soort else None,
        referentienummer=row.referentienummer,
        conversatie=row.conversatie,
        channel=Channel(row.channel) if row.channel else None,
        attempts=row.attempts or 0,
        resolved=row.resolved,
        resolved_by=row.resolved_by,
        resolved_why=row.resolved_why,
        resolved_at=row.resolved_at,
        ended=bool(row.ended),
    )


def _death(number: int, told: Stranding) -> Death:
    return Death(number, told.reason, told.note, told.at)


def about_garbage(digest: str) -> bytes:
    """To what the seal of garbage is bound."""
    return f"onleesbaar/{digest}".encode()


def _keep_garbage(
    connection: sa.Connection, strandings: Sequence[Stranding], keyring: Keyring
) -> None:
    if not strandings:
        return
    rows = [_garbage_row(each, keyring) for each in strandings]
    # The broker brings the same bytes again when it did not hear that we have them.
    connection.execute(insert_into(connection, dead_letter).on_conflict_do_nothing(), rows)


def _garbage_row(stranding: Stranding, keyring: Keyring) -> dict[str, Any]:
    raw = stranding.garbage or (stranding.delivery_id or "").encode()
    digest = hmac.digest(keyring.digest, b"onleesbaar:" + raw, "sha256").hex()
    return {
        "reason": stranding.reason.value,
        "note": stranding.note,
        "stranded_at": stranding.at,
        "garbage": keyring.vault.seal_alone(about_garbage(digest), raw),
        "garbage_digest": digest,
    }
