"""Write down what was admitted: messages, deliveries, conversations and their evidence.

For messages of parties and for those of the gateway alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import sqlalchemy as sa

from gateway.adapters.keyring import Keyring
from gateway.adapters.ledger import bulk
from gateway.adapters.ledger.journal import Entry, Page
from gateway.adapters.ledger.lending import lent_at_once
from gateway.adapters.ledger.numbering import Conversations, Overtaken, pair_of
from gateway.adapters.ledger.receipts import Identity, Kept, identity_of, receipt_of
from gateway.adapters.ledger.rows import Row, delivery_row, message_row
from gateway.adapters.ledger.sealing import seal
from gateway.adapters.ledger.tables import attachment, delivery, message, person
from gateway.delivery import State
from gateway.evidence import accepted_entry
from gateway.message import Admitted, Channel, Delivery
from gateway.record import AtOnce

ACCEPTED = "aangenomen"


def keep(
    page: Page,
    admitted: Iterable[Admitted],
    conversations: Conversations,
    at: datetime,
    *,
    more: Sequence[Entry] = (),
    at_once: AtOnce | None = None,
) -> dict[Identity, Kept]:
    """Write messages, what the gateway says because of them, and the conversations.

    The last thing that a transaction writes in the journal.

    Args:
        conversations: Held; what the rules made of them is in them already.
        more: What else happened, for the journal.
        at_once: See ``Ledger.record``.

    Raises:
        Overtaken: one is there already; the transaction must be given up.
    """
    connection, keyring = conversations.connection, conversations.keyring
    told = [said for each in admitted for said in (each, *each.says)]
    lent: dict[Identity, Delivery] = {}
    deliveries = [_delivery(each, conversations, at) for each in told]
    conversations.keep()
    rows = [_row(each, keyring, at) for each in told]
    if at_once is not None:
        lent = _lend(zip(told, rows, deliveries, strict=True), conversations, at_once)
    ids = _insert_messages(connection, rows)
    numbers = [ids[identity_of(each.submission)] for each in told]
    _insert_attachments(connection, rows, numbers)
    for each, number, row in zip(told, numbers, deliveries, strict=True):
        row["message"] = number
        row["conversation"] = conversations[pair_of(each.submission)].id
    _insert_persons(connection, told, conversations, keyring)
    bulk.insert(connection, delivery, deliveries)
    entries = [_entry(row, number) for row, number in zip(rows, numbers, strict=True)]
    proofs = page.write(connection, [*entries, *more])
    return {
        identity_of(each.submission): Kept(
            row["digest"],
            receipt_of(row["receipt"], row["original_sha256"], proof),
            lent.get(identity_of(each.submission)),
        )
        for each, row, proof in zip(told, rows, proofs[: len(rows)], strict=True)
    }


def _delivery(each: Admitted, conversations: Conversations, at: datetime) -> Row:
    """The delivery of a message, at its place in the line of its recipient."""
    mine = conversations[pair_of(each.submission)]
    waiting = mine.held.get(each.ontvanger)
    in_line = bool(waiting) if each.channel is Channel.POSTBUS else waiting is not None
    row = delivery_row(each, at, waits=in_line and not each.overtakes)
    row["volgnummer"] = mine.next(each.ontvanger)
    waits = row["state"] == State.WACHT
    if not each.overtakes and (waits or (each.awaits_confirmation and not each.withdraws)):
        mine.held[each.ontvanger] = bool(waiting) or waits
    return row


def _lend(
    told: Iterable[tuple[Admitted, Row, Row]], conversations: Conversations, at_once: AtOnce
) -> dict[Identity, Delivery]:
    """Lend what may go now to who takes it at once, by message; its row says so."""
    lent: dict[Identity, Delivery] = {}
    for each, row, goes in told:
        if goes["due_at"] is None or conversations[pair_of(each.submission)].restricted:
            continue
        until = at_once(each.channel, each.ontvanger, row["size"])
        if until is not None:
            goes |= {"due_at": until, "leased_until": until, "attempts": 1, "fence": 1}
            lent[identity_of(each.submission)] = lent_at_once(each, row, goes)
    return lent


def _row(each: Admitted, keyring: Keyring, at: datetime) -> Row:
    """A message as a row, sealed, with its attachments beside it."""
    sealed = seal(keyring.vault, each.submission)
    return {**message_row(each, sealed, at), "attachments": sealed.attachments}


def _entry(row: Row, number: int) -> Entry:
    text = accepted_entry(row["receipt"], row["original_sha256"])
    return Entry(ACCEPTED, text, message=number, kept=False)


def _insert_messages(connection: sa.Connection, rows: Sequence[Row]) -> dict[Identity, int]:
    # Sorted, so that two processes with the same messages do not wait for each other.
    sorted_rows = sorted(rows, key=lambda row: (row["referentienummer"], row["afzender"]))
    plain = [{name: row[name] for name in row if name != "attachments"} for row in sorted_rows]
    inserted = bulk.insert(
        connection,
        message,
        plain,
        keep_first=True,
        returning=(message.c.id, message.c.referentienummer, message.c.afzender),
    )
    if len(inserted) != len(rows):
        raise Overtaken
    return {Identity(row.referentienummer, row.afzender): row.id for row in inserted}


def _insert_attachments(
    connection: sa.Connection, rows: Sequence[Row], numbers: Sequence[int]
) -> None:
    contents = [
        {"message": number, "place": place, "content": content}
        for row, number in zip(rows, numbers, strict=True)
        for place, content in enumerate(row["attachments"])
    ]
    bulk.insert(connection, attachment, contents)


def _insert_persons(
    connection: sa.Connection,
    told: Sequence[Admitted],
    conversations: Conversations,
    keyring: Keyring,
) -> None:
    marks = {
        (mark.version, mark.value, conversations[pair_of(each.submission)].id)
        for each in told
        for mark in map(keyring.index.mark, each.submission.persons)
    }
    bulk.insert(
        connection,
        person,
        # Sorted, for the same reason as the messages.
        [
            {"version": version, "mark": value, "conversation": number}
            for version, value, number in sorted(marks)
        ],
        keep_first=True,
    )
