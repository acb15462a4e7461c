"""What does the ledger hold about somebody? Found by keyed hash."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gateway.adapters.blind_index import Mark
from gateway.adapters.ledger.among import among
from gateway.adapters.ledger.dossier import deliveries_of
from gateway.adapters.ledger.erasing import went_on_request
from gateway.adapters.ledger.retention import finished_at
from gateway.adapters.ledger.sealing import CANONICAL, bare, data_key
from gateway.adapters.ledger.tables import (
    attachment,
    conversation,
    dead_letter,
    delivery,
    in_force,
    message,
    person,
    person_request,
    refusal,
    restriction,
)
from gateway.adapters.vault import SealBroken, Vault, VaultKeyMissing
from gateway.message import Json, Kind, Oin


@dataclass(frozen=True, slots=True)
class Held:
    """One message about somebody, without its content.

    Attributes:
        id: Number of the message in the ledger.
        delivery: Number of its delivery.
        conversation: Number of its conversation.
        grondslag: As the message names it; None where it does not, or was erased.
        attachments: How many are still there.
        finished: When nobody had anything left to do with it; None where somebody has.
        collected_at: When its recipient took it from its postbus; None where that is not known.
        runs: Its conversation has not ended.
        on_request: Its content went because somebody asked for that.
        only_stored: Since when its conversation is restricted; None where it is not.
        others: The conversation is about somebody else too.
        deliveries: With attempts and dead letters, as the contract writes it.
    """

    id: int
    delivery: int
    conversation: int
    afzender: Oin
    ontvanger: Oin
    namens: Oin | None
    referentienummer: str
    conversatie: str
    kind: Kind
    versie: str
    deur: str
    grondslag: str | None
    attachments: int
    received_at: datetime
    recorded_at: datetime
    erased_at: datetime | None
    on_request: bool
    collected_at: datetime | None
    finished: datetime | None
    state: str
    runs: bool
    only_stored: datetime | None
    others: bool
    deliveries: tuple[Json, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """A refusal under the number of a message about somebody."""

    at: datetime
    party: Oin
    referentienummer: str
    code: str
    count: int


@dataclass(frozen=True, slots=True)
class Requested:
    """What was asked and done before.

    Attributes:
        controller: None for all of them.
        counts: What was done, in numbers.
    """

    kenmerk: str
    at: datetime
    what: str
    requester: str
    by: str
    controller: Oin | None
    why: str
    counts: dict[str, int]


def conversations_of(
    connection: sa.Connection, marks: Sequence[Mark], controller: Oin | None = None
) -> list[int]:
    """Numbers of the conversations about whoever is marked like this.

    Args:
        controller: Only those in which it wrote, was written to or was spoken for.
    """
    query = sa.select(person.c.conversation).where(is_about(person, marks)).distinct()
    if controller is not None:
        takes_part = sa.or_(
            message.c.afzender == controller,
            message.c.namens == controller,
            delivery.c.ontvanger == controller,
        )
        query = query.where(
            sa.exists().where(
                delivery.c.conversation == person.c.conversation,
                message.c.id == delivery.c.message,
                takes_part,
            )
        )
    return sorted(connection.scalars(query))


def held(
    connection: sa.Connection,
    vault: Vault,
    numbers: Sequence[int],
    marks: Sequence[Mark],
    controller: Oin | None,
    *,
    whole: bool = False,
) -> list[Held]:
    """The messages in these conversations, of one controller or of all, in order.

    Args:
        whole: With attempts, dead letters and what the message itself names; else without.
    """
    rows = connection.execute(_messages(numbers, controller)).all()
    standing = {
        row.id: row for row in connection.execute(_STANDING.where(_in(conversation.c.id, rows)))
    }
    since = _restricted(connection, numbers)
    shared = _about_others(connection, numbers, marks)
    apart = _attachments(connection, [row.id for row in rows])
    return [
        Held(
            id=row.id,
            delivery=row.delivery,
            conversation=row.conversation,
            afzender=Oin(row.afzender),
            ontvanger=Oin(row.ontvanger),
            namens=Oin(row.namens) if row.namens else None,
            referentienummer=row.referentienummer,
            conversatie=row.conversatie,
            kind=Kind(row.module, row.major, row.soort),
            versie=row.versie,
            deur=row.door,
            grondslag=_ground(vault, row) if whole else None,
            attachments=apart[row.id],
            received_at=row.received_at,
            recorded_at=row.recorded_at,
            erased_at=row.erased_at,
            on_request=bool(row.on_request),
            collected_at=row.collected_at,
            finished=finished_at(row),
            state=row.state,
            runs=_runs(standing[row.conversation]),
            only_stored=since.get(row.conversation),
            others=row.conversation in shared,
            deliveries=tuple(deliveries_of(connection, row.id)) if whole else (),
        )
        for row in rows
    ]


def refused(connection: sa.Connection, found: Sequence[Held]) -> list[Refused]:
    """Refusals under the numbers of these messages, by their own senders."""
    own = {(each.referentienummer, each.afzender) for each in found}
    query = (
        sa.select(
            refusal.c.at,
            refusal.c.party,
            refusal.c.referentienummer,
            refusal.c.code,
            refusal.c.count.label("times"),
        )
        .where(
            refusal.c.referentienummer.is_not(None),
            among(refusal.c.referentienummer, {number for number, _ in own}),
        )
        .order_by(refusal.c.at, refusal.c.id)
    )
    return [
        Refused(row.at, Oin(row.party), row.referentienummer, row.code, row.times)
        for row in connection.execute(query)
        if (row.referentienummer, row.party) in own
    ]


def requests(connection: sa.Connection, marks: Sequence[Mark]) -> list[Requested]:
    """What was asked about somebody, oldest first."""
    query = (
        sa.select(person_request)
        .where(is_about(person_request, marks))
        .order_by(person_request.c.at, person_request.c.kenmerk)
    )
    return [
        Requested(
            kenmerk=row.kenmerk,
            at=row.at,
            what=row.what,
            requester=row.requester,
            by=row.done_by,
            controller=Oin(row.controller) if row.controller else None,
            why=row.why,
            counts=dict(row.counts),
        )
        for row in connection.execute(query)
    ]


def is_about(table: sa.FromClause, marks: Sequence[Mark]) -> sa.ColumnElement[bool]:
    """Rows with one of these marks."""
    return sa.or_(
        *(sa.and_(table.c.version == each.version, table.c.mark == each.value) for each in marks)
    )


_STANDING = sa.select(conversation.c.id, conversation.c.stand, conversation.c.ended_at)


def _in(column: sa.Column[int], rows: Sequence[Any]) -> sa.ColumnElement[bool]:
    return among(column, {row.conversation for row in rows})


def _messages(numbers: Sequence[int], controller: Oin | None) -> sa.Select[Any]:
    given_up = (
        sa.select(sa.func.max(dead_letter.c.resolved_at))
        .where(dead_letter.c.delivery == delivery.c.id)
        .scalar_subquery()
    )
    query = (
        sa.select(
            message.c.id,
            message.c.afzender,
            message.c.namens,
            message.c.referentienummer,
            message.c.conversatie,
            message.c.module,
            message.c.major,
            message.c.soort,
            message.c.versie,
            message.c.door,
            message.c.received_at,
            message.c.recorded_at,
            message.c.erased_at,
            message.c.key_version,
            message.c.wrapped_key,
            message.c.canonical,
            delivery.c.id.label("delivery"),
            delivery.c.conversation,
            delivery.c.ontvanger,
            delivery.c.state,
            delivery.c.awaits_confirmation,
            delivery.c.collected_at,
            delivery.c.offered_at,
            delivery.c.confirmed_at,
            given_up.label("given_up_at"),
            went_on_request().label("on_request"),
        )
        .join_from(message, delivery, delivery.c.message == message.c.id)
        .where(among(delivery.c.conversation, numbers))
        .order_by(delivery.c.conversation, delivery.c.id)
    )
    if controller is None:
        return query
    return query.where(sa.or_(message.c.afzender == controller, message.c.namens == controller))


def _runs(row: Any) -> bool:
    """Whether the rules still expect something in the conversation in this row."""
    return row.stand is not None and row.ended_at is None


def _restricted(connection: sa.Connection, numbers: Sequence[int]) -> dict[int, datetime]:
    query = sa.select(restriction).where(
        among(restriction.c.conversation, numbers), in_force(restriction)
    )
    return {row.conversation: row.since for row in connection.execute(query)}


def _about_others(
    connection: sa.Connection, numbers: Sequence[int], marks: Sequence[Mark]
) -> set[int]:
    """Conversations in which the number of somebody else was sent too."""
    rows = connection.execute(sa.select(person).where(among(person.c.conversation, numbers))).all()
    mine = {(each.version, each.value) for each in marks}
    return {row.conversation for row in rows if (row.version, row.mark) not in mine}


def _attachments(connection: sa.Connection, numbers: Sequence[int]) -> Counter[int]:
    rows = connection.execute(
        sa.select(attachment.c.message).where(among(attachment.c.message, numbers))
    )
    return Counter(row.message for row in rows)


def _ground(vault: Vault, row: Any) -> str | None:
    """The ground that a message names, where it can still be read."""
    if row.wrapped_key is None:
        return None
    try:
        canonical = bare(data_key(vault, row).open(CANONICAL, row.canonical))
    except (SealBroken, VaultKeyMissing):
        return None
    document = json.loads(canonical)  # our own bytes
    named = next(iter(document.values())).get("stuurgegevens", {}).get("grondslag")
    return None if named is None else str(named)
