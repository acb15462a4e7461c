"""Where do the conversations of a party stand? Read from the rows, without any content.

A page costs two statements per chunk that is looked at, however many conversations or messages
it shows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from gateway.adapters.keyring import Keyring
from gateway.adapters.ledger.among import among
from gateway.adapters.ledger.database import Database
from gateway.adapters.ledger.restricted import is_restricted
from gateway.adapters.ledger.tables import awaits_a_moment, conversation, delivery, message
from gateway.delivery import Reason, State
from gateway.message import Oin
from gateway.record import GesprekFilter
from gateway.routing.conversation import TE_LAAT
from gateway.routing.standing import Bericht, Gesprek

MOST_LOOKED_AT = 2_000
"""So many conversations one page looks at; where few of them fit, it is shorter."""

MOST_MESSAGES = 1_000
"""So many messages of a conversation are shown, the newest."""

WEEK = timedelta(days=7)


class Gesprekken:
    """The part of the ledger that says where conversations stand."""

    _database: Database
    _keyring: Keyring

    def gesprekken(
        self,
        parties: Collection[Oin],
        which: GesprekFilter,
        fits: Callable[[Gesprek], bool],
        limit: int,
    ) -> tuple[list[Gesprek], int | None]:
        """Conversations of these parties that fit, newest change first.

        What is only stored (GDPR art. 18) is not among them.

        Args:
            fits: Decides on each that the filter lets through.

        Returns:
            At most ``limit``, and the cursor after which the next page begins, which may be
            empty; None where this was the last.
        """
        found: list[Gesprek] = []
        after, looked, chunk = which.after, 0, limit
        with self._database.reading() as connection:
            while looked < MOST_LOOKED_AT:
                query = newest_first(parties, self._keyring.signing.oin, which, after)
                rows = connection.execute(query.limit(chunk)).all()
                modules = _modules(connection, [row.id for row in rows])
                for row in rows:
                    after, looked = row.place, looked + 1
                    gesprek = _gesprek(row, modules[row.id])
                    if fits(gesprek):
                        found.append(gesprek)
                    if len(found) == limit:
                        return found, after
                if len(rows) < chunk:
                    return found, None
                chunk = min(chunk * 4, MOST_LOOKED_AT)  # what fits is rare here
        return found, after

    def gesprek(self, parties: Collection[Oin], conversatie: str) -> list[Gesprek]:
        """Every conversation of this id in which one of these parties takes part.

        With its messages, and what the gateway told these parties in it.
        """
        own = self._keyring.signing.oin
        with self._database.reading() as connection:
            rows = connection.execute(
                _standing(own).where(
                    conversation.c.conversatie == conversatie,
                    _of(parties),
                    *told_of(conversation.c.id),
                )
            ).all()
            if not rows:
                return []
            beside = connection.scalars(_beside(conversatie, own, parties)).all()
            said = _messages(connection, [*(row.id for row in rows), *beside])
        told = [each for number in beside for each in said[number]]
        return [_whole(row, said[row.id], told) for row in rows if said[row.id]]

    def moments(self, now: datetime) -> Mapping[str, int]:
        """In how many conversations something happens by itself, and how soon.

        Returns:
            ``due`` (it should have happened), ``week`` (within seven days) and ``later``.
        """
        when = sa.case(
            (conversation.c.next_term <= now, "due"),
            (conversation.c.next_term <= now + WEEK, "week"),
            else_="later",
        ).label("soon")
        query = sa.select(when, sa.func.count().label("number")).where(
            awaits_a_moment(conversation)
        )
        with self._database.reading() as connection:
            rows = connection.execute(query.group_by(sa.literal_column("soon"))).all()
        return {"due": 0, "week": 0, "later": 0} | {row.soon: row.number for row in rows}


def newest_first(
    parties: Collection[Oin], gateway: Oin, which: GesprekFilter, after: int | None
) -> sa.Select[Any]:
    """Conversations of these parties with the number of their newest message, newest first."""
    c, mine = conversation.c, sorted(parties)
    numbers = sa.union(
        sa.select(c.id).where(among(c.party_a, mine)), sa.select(c.id).where(among(c.party_b, mine))
    )
    query = _standing(gateway).where(c.id.in_(numbers), *told_of(c.id))
    if which.partij is not None:
        query = query.where(sa.or_(c.party_a == which.partij, c.party_b == which.partij))
    if which.staat is not None:
        query = query.where(c.stand.startswith(f'{{"staat":"{which.staat}",', autoescape=True))
    if which.open_only:
        query = query.where(
            sa.or_(c.stand.contains('"open"', autoescape=True), c.next_term.is_not(None))
        )
    found = query.subquery("found")
    newest = sa.select(found, delivery.c.recorded_at.label("changed_at")).join_from(
        found, delivery, delivery.c.id == found.c.place
    )
    if after is not None:
        newest = newest.where(found.c.place < after)
    if which.since is not None:
        newest = newest.where(delivery.c.recorded_at >= which.since)
    return newest.order_by(found.c.place.desc(), found.c.id.desc())


def _standing(gateway: Oin) -> sa.Select[Any]:
    """Conversations, with the number of the newest message in each.

    What the gateway told the two of it counts too: a term that ran out is a change.
    """
    c, near = conversation.c, conversation.alias("near")
    place = (
        sa.select(sa.func.max(delivery.c.id))
        .join_from(near, delivery, delivery.c.conversation == near.c.id)
        .where(
            near.c.conversatie == c.conversatie,
            near.c.party_a.in_([c.party_a, c.party_b, gateway]),
            near.c.party_b.in_([c.party_a, c.party_b, gateway]),
            # the last that were given out: found in the index, also where a party was succeeded
            delivery.c.volgnummer.in_([near.c.last_to_a, near.c.last_to_b]),
        )
        .correlate(conversation)
        .scalar_subquery()
    )
    return sa.select(
        c.id,
        c.conversatie,
        c.party_a,
        c.party_b,
        c.stand,
        (c.last_to_a + c.last_to_b).label("messages"),
        place.label("place"),
    )


def _of(parties: Collection[Oin]) -> sa.ColumnElement[bool]:
    mine = sorted(parties)
    return sa.or_(among(conversation.c.party_a, mine), among(conversation.c.party_b, mine))


def told_of(number: sa.Column[int]) -> tuple[sa.ColumnElement[bool], ...]:
    """The rules have a say in it, and it is more than stored."""
    return conversation.c.stand.is_not(None), sa.not_(is_restricted(number))


def _beside(conversatie: str, gateway: Oin, parties: Collection[Oin]) -> sa.Select[Any]:
    """Where the gateway tells these parties something about the conversations of this id."""
    c = conversation.c
    with_us = sa.or_(c.party_a == gateway, c.party_b == gateway)
    return sa.select(c.id).where(
        c.conversatie == conversatie, c.stand.is_(None), with_us, _of(parties)
    )


def _modules(connection: sa.Connection, numbers: Sequence[int]) -> dict[int, dict[str, str]]:
    """The module of every message of these conversations, by its referentienummer."""
    found: defaultdict[int, dict[str, str]] = defaultdict(dict)
    query = sa.select(
        delivery.c.conversation, message.c.referentienummer, message.c.module
    ).join_from(delivery, message, delivery.c.message == message.c.id)
    if numbers:
        for row in connection.execute(query.where(among(delivery.c.conversation, numbers))):
            found[row.conversation][row.referentienummer] = row.module
    return found


def _messages(connection: sa.Connection, numbers: Iterable[int]) -> defaultdict[int, list[Bericht]]:
    """The newest messages of these conversations, oldest first."""
    rows = connection.execute(
        sa.select(
            delivery.c.conversation,
            delivery.c.state,
            delivery.c.reason,
            delivery.c.offered_at,
            delivery.c.collected_at,
            delivery.c.confirmed_at,
            message.c.referentienummer,
            message.c.afzender,
            message.c.ontvanger,
            message.c.module,
            message.c.soort,
            message.c.versie,
            message.c.cross,
            message.c.namens,
            message.c.received_at,
            message.c.warnings,
        )
        .join_from(delivery, message, delivery.c.message == message.c.id)
        .where(among(delivery.c.conversation, numbers))
        .order_by(delivery.c.id.desc())
        .limit(MOST_MESSAGES)
    ).all()
    found: defaultdict[int, list[Bericht]] = defaultdict(list)
    for row in reversed(rows):
        found[row.conversation].append(_bericht(row))
    return found


def _bericht(row: Any) -> Bericht:
    return Bericht(
        referentienummer=row.referentienummer,
        module=row.module,
        soort=row.soort,
        versie=row.versie,
        afzender=Oin(row.afzender),
        ontvanger=Oin(row.ontvanger),
        received_at=row.received_at,
        state=State(row.state),
        cross=row.cross,
        namens=None if row.namens is None else Oin(row.namens),
        available_at=row.offered_at,
        collected_at=row.collected_at,
        confirmed_at=row.confirmed_at,
        reason=None if row.reason is None else Reason(row.reason),
        late=any(each["regel"] == TE_LAAT for each in row.warnings),
    )


def _gesprek(row: Any, modules: Mapping[str, str]) -> Gesprek:
    return Gesprek(
        conversatie=row.conversatie,
        party_a=Oin(row.party_a),
        party_b=Oin(row.party_b),
        stand=row.stand,
        place=row.place,
        changed_at=row.changed_at,
        modules=modules,
        count=row.messages,
    )


def _whole(row: Any, said: Sequence[Bericht], told: Sequence[Bericht]) -> Gesprek:
    """A conversation with its messages and those of the gateway, in order of receipt."""
    both = sorted((*said, *told), key=lambda each: each.received_at)
    made = Gesprek(
        conversatie=row.conversatie,
        party_a=Oin(row.party_a),
        party_b=Oin(row.party_b),
        stand=row.stand,
        place=row.place or 0,
        changed_at=max(each.received_at for each in both),
        modules={each.referentienummer: each.module for each in said},
    )
    return replace(made, count=row.messages, berichten=tuple(both))
