"""What an operator wants to know: how much stands where, and which way one message went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, time
from typing import Any

import sqlalchemy as sa

from gateway.adapters.ledger.database import Clock, Database
from gateway.adapters.ledger.tables import (
    attempt,
    dead_letter,
    delivery,
    finished,
    message,
    refusal,
    unfinished,
    unresolved,
)
from gateway.delivery import AMSTERDAM, State
from gateway.message import Json, Oin


class Reporting:
    """The part of the ledger that the status and way pages read."""

    _database: Database
    _clock: Clock

    def overview(self) -> Mapping[str, Any]:
        """Counts for the status page.

        Returns:
            ``parties``: ``{ontvanger: {state: deliveries}}``;
            ``oldest_waiting_seconds``, ``oldest_offered_seconds``, ``oldest_dead_seconds``:
            age of the oldest delivery that waits, lies unconfirmed or is dead, or None;
            ``accepted_today``, ``refused_today``: since midnight in the Netherlands;
            ``open_dead_letters``: how many wait for an operator.
        """
        now = self._clock()
        with self._database.reading() as connection:
            standing = connection.execute(_STANDING).all()
            done = connection.execute(_DONE).all()
            accepted = connection.scalar(_ACCEPTED.where(message.c.recorded_at >= _midnight(now)))
            refused = connection.scalar(_REFUSED.where(refusal.c.at >= _midnight(now)))
            dead = connection.scalar(_DEAD)
        parties: dict[str, Counter[str]] = {}
        for row in (*standing, *done):
            parties.setdefault(row.ontvanger, Counter())[row.state] += row.number
        oldest: dict[str, datetime] = {}
        for row in standing:
            oldest[row.state] = min(oldest.get(row.state, row.oldest), row.oldest)
        return {
            "parties": parties,
            "oldest_waiting_seconds": _age(oldest.get(State.WACHT), now),
            "oldest_offered_seconds": _age(oldest.get(State.AANGEBODEN), now),
            "oldest_dead_seconds": _age(oldest.get(State.GESTRAND), now),
            "accepted_today": int(accepted or 0),
            "refused_today": int(refused or 0),
            "open_dead_letters": int(dead or 0),
        }

    def way(self, afzender: Oin | None, referentienummer: str) -> Iterable[Json]:
        """Every step of a message with times, for the operator: no content.

        Returns:
            Objects with ``op`` (ISO 8601 in UTC), ``stap`` and ``detail``, oldest first.
        """
        with self._database.reading() as connection:
            found = _messages(connection, afzender, referentienummer)
            steps = [_accepted(row) for row in found]
            steps += _refusals(connection, afzender, referentienummer)
            numbers = [row.delivery for row in found]
            steps += [step for row in found for step in _standing(row)]
            steps += _attempts(connection, numbers)
            steps += _deaths(connection, numbers)
        return sorted(steps, key=lambda step: str(step["op"]))


_DONE = (
    sa.select(delivery.c.ontvanger, delivery.c.state, sa.func.count().label("number"))
    .where(finished(delivery))
    .group_by(delivery.c.ontvanger, delivery.c.state)
)
_STANDING = (
    sa.select(
        delivery.c.ontvanger,
        delivery.c.state,
        sa.func.count().label("number"),
        sa.func.min(delivery.c.recorded_at).label("oldest"),
    )
    .where(unfinished(delivery))
    .group_by(delivery.c.ontvanger, delivery.c.state)
)
_ACCEPTED = sa.select(sa.func.count()).select_from(message)
_REFUSED = sa.select(sa.func.coalesce(sa.func.sum(refusal.c.count), 0))
_DEAD = sa.select(sa.func.count()).select_from(dead_letter).where(unresolved(dead_letter))


def _midnight(now: datetime) -> datetime:
    today = now.astimezone(AMSTERDAM).date()
    return datetime.combine(today, time.min, AMSTERDAM).astimezone(UTC)


def _age(since: datetime | None, now: datetime) -> float | None:
    return None if since is None else max(0.0, (now - since).total_seconds())


def _step(at: datetime, step: str, **details: object) -> Json:
    moment = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    told = (f"{name}={value}" for name, value in details.items() if value not in (None, ""))
    return {"op": moment, "stap": step, "detail": " ".join(told)}


def _messages(connection: sa.Connection, afzender: Oin | None, referentienummer: str) -> list[Any]:
    query = (
        sa.select(
            message.c.afzender,
            message.c.module,
            message.c.major,
            message.c.soort,
            message.c.conversatie,
            message.c.door,
            message.c.received_at,
            message.c.original_sha256,
            message.c.signer_fingerprint,
            delivery.c.id.label("delivery"),
            delivery.c.delivery_id,
            delivery.c.ontvanger,
            delivery.c.channel,
            delivery.c.volgnummer,
            delivery.c.recorded_at,
            delivery.c.offered_at,
            delivery.c.confirmed_at,
        )
        .join_from(message, delivery, delivery.c.message == message.c.id)
        .where(message.c.referentienummer == referentienummer)
    )
    if afzender is not None:
        query = query.where(message.c.afzender == afzender)
    return list(connection.execute(query))


def _accepted(row: Any) -> Json:
    return _step(
        row.received_at,
        "ontvangen",
        afzender=row.afzender,
        soort=f"{row.module}.{row.soort}.v{row.major}",
        conversatie=row.conversatie,
        door=row.door,
        sha256=row.original_sha256,
        certificaat=row.signer_fingerprint,
    )


def _standing(row: Any) -> list[Json]:
    which = {"afleverId": row.delivery_id}
    recorded = _step(
        row.recorded_at,
        "vastgelegd",
        ontvanger=row.ontvanger,
        kanaal=row.channel,
        volgnummer=row.volgnummer,
        **which,
    )
    later = (("aangeboden", row.offered_at), ("bevestigd", row.confirmed_at))
    return [recorded, *(_step(at, step, **which) for step, at in later if at is not None)]


def _refusals(connection: sa.Connection, afzender: Oin | None, referentienummer: str) -> list[Json]:
    query = sa.select(refusal).where(refusal.c.referentienummer == referentienummer)
    if afzender is not None:
        query = query.where(refusal.c.party == afzender)
    return [
        _step(row.at, "geweigerd", code=row.code, door=row.door, afzender=row.party)
        for row in connection.execute(query)
    ]


def _attempts(connection: sa.Connection, deliveries: list[int]) -> list[Json]:
    query = (
        sa.select(attempt, delivery.c.delivery_id)
        .join_from(attempt, delivery, attempt.c.delivery == delivery.c.id)
        .where(attempt.c.delivery.in_(deliveries))
    )
    return [
        _step(
            row.ended_at,
            "poging",
            afleverId=row.delivery_id,
            nummer=row.number,
            antwoord=row.answer,
            status=row.status,
            bijzonder=row.note,
            sha256=row.sent_sha256,
        )
        for row in connection.execute(query)
    ]


def _deaths(connection: sa.Connection, deliveries: list[int]) -> list[Json]:
    query = (
        sa.select(dead_letter, delivery.c.delivery_id)
        .join_from(dead_letter, delivery, dead_letter.c.delivery == delivery.c.id)
        .where(dead_letter.c.delivery.in_(deliveries))
    )
    steps = []
    for row in connection.execute(query):
        which = {"afleverId": row.delivery_id, "nummer": row.id}
        note = row.note
        steps.append(_step(row.stranded_at, "gestrand", reden=row.reason, bijzonder=note, **which))
        if row.resolved:
            steps.append(_step(row.resolved_at, row.resolved, door=row.resolved_by, **which))
    return steps
