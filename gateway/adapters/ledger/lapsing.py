"""What nobody took for too long ends: given up, erased, undone and told, in one transaction.

As an operator would discard it, so that successors go on; but its sender reads why, and its
content does not wait for a further term.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from gateway.adapters.ledger.among import among
from gateway.adapters.ledger.erasing import erase, erased_by_term
from gateway.adapters.ledger.graveyard import Death, bury
from gateway.adapters.ledger.happenings import died, held_deliveries
from gateway.adapters.ledger.journal import Entry, Page
from gateway.adapters.ledger.keeping import keep
from gateway.adapters.ledger.lending import was_collected
from gateway.adapters.ledger.numbering import Conversations, Pair, pair_between
from gateway.adapters.ledger.repairs import DISCARDED, Word, hold, resolve
from gateway.adapters.ledger.tables import conversation, dead_letter, delivery, message, unfinished
from gateway.delivery import Reason, State
from gateway.message import Admitted, Kind, Oin
from gateway.replies import Lapse
from gateway.routing.course import Courses, Fate

BY, WHY = "bewaring", "bewaartermijn"


class Lapsed(NamedTuple):
    """The message of a delivery that ended, as ``erase`` takes it."""

    id: int
    delivery: int
    afzender: str
    referentienummer: str


def lapse(
    page: Page,
    deliveries: Sequence[int],
    conversations: Conversations,
    rules: Courses,
    now: datetime,
) -> None:
    """End those of these deliveries that still wait for somebody.

    What its recipient took and never confirmed is erased too, but its step stands.

    Args:
        conversations: Of this transaction; nothing is held yet.

    Raises:
        Overtaken: the transaction must be given up.
    """
    connection = conversations.connection
    pairs = _pairs(connection, deliveries)
    conversations.hold(_with_own(set(pairs.values()), conversations.keyring.signing.oin))
    rows = connection.execute(
        held_deliveries()
        .add_columns(message.c.module, message.c.major, message.c.soort, message.c.versie)
        .where(among(delivery.c.id, deliveries), unfinished(delivery))
        .order_by(delivery.c.id)
    ).all()
    if not rows:
        return
    entries = _discarded(connection, rows, now)
    says: list[Admitted] = []
    for row in rows:
        if was_collected(row):
            continue
        pair = pairs[row.conversation]
        mine = conversations[pair]
        told = rules.given_up(mine.stand, _fate(row, pair, now), _why(row))
        if told.course is not None and mine.stand is not None:
            mine.follow(told.course, now)
        says += told.says
    gone = [Lapsed(row.message, row.id, row.afzender, row.referentienummer) for row in rows]
    erase(connection, gone, now)
    entries += erased_by_term(gone, now)
    keep(page, says, conversations, now, more=entries)


def _discarded(connection: sa.Connection, rows: Sequence[Any], now: datetime) -> list[Entry]:
    """Give these up as an operator would; what nobody found dead dies first."""
    deaths = [
        Death(row.id, Reason.VERLOPEN, WHY, now) for row in rows if row.state != State.GESTRAND
    ]
    bury(connection, deaths)
    letters = connection.scalars(
        sa.select(sa.func.max(dead_letter.c.id))
        .where(among(dead_letter.c.delivery, [row.id for row in rows]))
        .group_by(dead_letter.c.delivery)
    ).all()
    held = hold(connection, letters, sa.true())
    # the conversation hears of it here, and not once more from the clock
    ended = {"state": State.VERWORPEN.value, "followed": State.VERWORPEN.value}
    return [*died(rows, deaths), *resolve(connection, held, ended, Word(DISCARDED, BY, WHY, now))]


def _pairs(connection: sa.Connection, deliveries: Sequence[int]) -> dict[int, Pair]:
    """The conversations of these deliveries, by number."""
    rows = connection.execute(
        sa.select(conversation.c.id, *_PAIR)
        .join_from(conversation, delivery, delivery.c.conversation == conversation.c.id)
        .where(among(delivery.c.id, deliveries))
    )
    return {row.id: Pair(row.conversatie, Oin(row.party_a), Oin(row.party_b)) for row in rows}


_PAIR = (conversation.c.conversatie, conversation.c.party_a, conversation.c.party_b)


def _with_own(pairs: set[Pair], own: Oin) -> set[Pair]:
    """These, and those in which the gateway tells their parties something."""
    return pairs | {
        pair_between(pair.conversatie, own, party)
        for pair in pairs
        for party in (pair.party_a, pair.party_b)
    }


def _why(row: Any) -> Lapse:
    return "NIET_OPGEHAALD" if row.state == State.AANGEBODEN else "NIET_AFLEVERBAAR"


def _fate(row: Any, pair: Pair, now: datetime) -> Fate:
    return Fate(
        kind=Kind(row.module, row.major, row.soort),
        versie=row.versie,
        referentienummer=row.referentienummer,
        conversatie=pair.conversatie,
        afzender=Oin(row.afzender),
        ontvanger=Oin(row.ontvanger),
        at=now,
        reason=row.reason or Reason.VERLOPEN.value,
    )
