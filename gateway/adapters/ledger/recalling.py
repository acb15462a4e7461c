"""Take a message back: out of sight where nobody can have seen it (process.md 3, recall).

Whoever collects or offers a delivery holds its conversation or its row, and so does a recall: of
two at the same instant exactly one comes first, and the other finds what it left.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gateway.adapters.ledger.among import among
from gateway.adapters.ledger.erasing import erase
from gateway.adapters.ledger.journal import Entry
from gateway.adapters.ledger.lending import was_collected
from gateway.adapters.ledger.numbering import Conversations, Pair, pair_between, pair_of
from gateway.adapters.ledger.order import settle
from gateway.adapters.ledger.receipts import Identity
from gateway.adapters.ledger.tables import (
    AANGEBODEN,
    GESTRAND,
    POSTBUS,
    RELEASED,
    WACHT,
    dead_letter,
    delivery,
    message,
    unresolved,
)
from gateway.delivery import Reason, State
from gateway.message import Admitted, Submission, canonical_form
from gateway.replies import HERINNERING, instant

RECALL = "Intrekking"
WITHDRAWN = "ingetrokken"
NAMED = "ingetrokkenReferentienummer"

NEVER_COLLECTED, NO_MORE = "nooit-opgehaald", "niet-meer-aangeboden"
"""What a withdrawal came to: nobody can have seen it, or only that nobody is sent it any more."""

RECALLED_WHY = "ingetrokken door de afzender"
ENDED_WHY = "het gesprek is beëindigd"

Withdrawal = tuple[Any, bool]
"""The row of a delivery with its message, and whether nobody can have seen it."""


@dataclass(frozen=True)
class Recalled:
    """The messages that a batch takes back, by identity, with their deliveries."""

    rows: Mapping[Identity, Any] = field(default_factory=dict)

    def taken(self, submission: Submission, pair: Pair) -> bool | None:
        """Whether the recipient may have seen what this recalls; None where there is no such.

        None too where this recalls nothing.
        """
        row = self.of(submission)
        if row is None or pair_between(row.conversatie, row.afzender, row.ontvanger) != pair:
            return None
        return not _unseen(row)

    def of(self, submission: Submission) -> Any | None:
        """The row of the message that this names."""
        named = _named(submission)
        if named is None:
            return None
        return self.rows.get(Identity(named, submission.message.header.afzender))


def recalled_by(
    connection: sa.Connection, fresh: Iterable[Submission], conversations: Conversations
) -> Recalled:
    """What the recalls among these name in their own conversations, which are held."""
    recalls = [each for each in fresh if _named(each) is not None]
    held = {conversations[pair_of(each)].id for each in recalls} - {None}
    if not held:
        return Recalled()
    rows = connection.execute(
        _deliveries()
        .where(
            # two senders may have chosen the same number
            among(message.c.referentienummer, {_named(each) for each in recalls}),
            among(delivery.c.conversation, held),
        )
        .with_for_update(of=delivery)
    )
    return Recalled({Identity(row.referentienummer, row.afzender): row for row in rows})


def withdraw(
    connection: sa.Connection,
    admitted: Iterable[Admitted],
    recalled: Recalled,
    conversations: Conversations,
    at: datetime,
) -> list[Entry]:
    """Remove what was recalled unseen, have nobody try the rest again, and let those go that
    waited for it.

    Returns:
        What came of each, for the journal.
    """
    found: dict[int, Withdrawal] = {}
    for each in admitted:
        row = recalled.of(each.submission)
        if row is not None and not _is_over(row, unseen=each.withdraws is not None):
            found[row.delivery] = row, each.withdraws is not None
    return _take_back(connection, list(found.values()), RECALLED_WHY, conversations, at)


def cancel_reminders(
    connection: sa.Connection,
    pairs: Collection[Pair],
    conversations: Conversations,
    at: datetime,
) -> list[Entry]:
    """Withdraw the reminders that nobody has yet, where a conversation ended.

    Args:
        pairs: Where the gateway spoke in it, held.

    Returns:
        What came of each, for the journal.
    """
    held = {conversations[pair].id for pair in pairs} - {None}
    if not held:
        return []
    waits = sa.or_(delivery.c.state == WACHT, delivery.c.state == GESTRAND)
    lies = sa.and_(
        delivery.c.state == AANGEBODEN,
        delivery.c.channel == POSTBUS,
        delivery.c.collected_at.is_(None),
    )
    rows = connection.execute(
        _deliveries()
        .where(
            among(delivery.c.conversation, held),
            message.c.soort == HERINNERING.name,
            sa.or_(waits, lies),
        )
        .order_by(delivery.c.id)
        .with_for_update(of=delivery)
    ).all()
    found = [(row, _unseen(row)) for row in rows]
    return _take_back(connection, found, ENDED_WHY, conversations, at)


def _deliveries() -> sa.Select[Any]:
    return sa.select(
        message.c.id,
        message.c.referentienummer,
        message.c.afzender,
        message.c.ontvanger,
        message.c.conversatie,
        delivery.c.id.label("delivery"),
        delivery.c.delivery_id,
        delivery.c.conversation,
        delivery.c.state,
        delivery.c.reason,
        delivery.c.attempts,
        delivery.c.collected_at,
    ).join_from(message, delivery, delivery.c.message == message.c.id)


def _take_back(
    connection: sa.Connection,
    found: Sequence[Withdrawal],
    why: str,
    conversations: Conversations,
    at: datetime,
) -> list[Entry]:
    if not found:
        return []
    numbers = [row.delivery for row, _ in found]
    # A lease, if there is one, stays: what its holder says still counts as evidence.
    connection.execute(
        sa.update(delivery)
        .where(among(delivery.c.id, numbers))
        .values(
            state=State.VERWORPEN.value,
            reason=Reason.INGETROKKEN.value,
            followed=State.VERWORPEN.value,
            due_at=None,
        )
    )
    _bury_for_good(connection, numbers, why, at)
    erase(connection, [row for row, unseen in found if unseen], at)
    touched = sorted({row.conversation for row, _ in found})
    settle(connection, touched, at)
    conversations.look_again(touched)
    return [_withdrawn(row, at, NEVER_COLLECTED if unseen else NO_MORE) for row, unseen in found]


def _bury_for_good(
    connection: sa.Connection, numbers: Collection[int], why: str, at: datetime
) -> None:
    """No operator can offer these again."""
    connection.execute(
        sa.update(dead_letter)
        .where(
            among(dead_letter.c.delivery, numbers),
            sa.or_(unresolved(dead_letter), dead_letter.c.resolved == RELEASED),
        )
        .values(resolved=WITHDRAWN, resolved_by="gateway", resolved_why=why, resolved_at=at)
    )


def _withdrawn(row: Any, at: datetime, result: str) -> Entry:
    told = {
        "soort": WITHDRAWN,
        "op": instant(at),
        "afleverId": row.delivery_id,
        "afzender": row.afzender,
        "referentienummer": row.referentienummer,
        "ontvanger": row.ontvanger,
        "gevolg": result,
    }
    return Entry(WITHDRAWN, canonical_form(told), message=row.id, delivery=row.delivery)


def _unseen(row: Any) -> bool:
    """Nobody can have read it: no channel ever had it, nor was it collected from the postbus.

    An attempt counts from the moment that it is lent out, whatever came of it.
    """
    return bool(row.attempts == 0) and not was_collected(row)


def _is_over(row: Any, *, unseen: bool) -> bool:
    """There is nothing left to take back: it was before, or lies where it cannot be reached."""
    if row.reason == Reason.INGETROKKEN:
        return True
    return not unseen and row.state not in (State.WACHT, State.GESTRAND)


def _named(submission: Submission) -> str | None:
    message_ = submission.message.current
    if message_.kind.name != RECALL:
        return None
    number: str = next(iter(message_.document.values()))[NAMED]
    return number
