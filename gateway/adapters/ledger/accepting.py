"""Keep each message once, with its delivery and its evidence, a batch in one transaction.

The number of statements does not depend on the number of messages: the rows of a batch go
to each table in one go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import sqlalchemy as sa

from gateway.adapters.keyring import Keyring
from gateway.adapters.ledger import bulk
from gateway.adapters.ledger.database import Database
from gateway.adapters.ledger.journal import Entry, Journal, Page
from gateway.adapters.ledger.numbering import Numbering, Pair, pair_of, reserve
from gateway.adapters.ledger.order import held_up
from gateway.adapters.ledger.receipts import Identity, Kept, identity_of, kept, receipt_of
from gateway.adapters.ledger.rows import Row, delivery_row, message_row, refusal_row
from gateway.adapters.ledger.sealing import seal
from gateway.adapters.ledger.tables import attachment, delivery, message, person, refusal
from gateway.delivery import State
from gateway.errors import Code, LedgerUnavailable, Refusal
from gateway.evidence import accepted_entry
from gateway.message import Admitted, Channel, Receipt, Submission
from gateway.record import Admit, Outcome, RefusalEntry

ACCEPTED = "aangenomen"


class _Overtaken(Exception):
    """Another process recorded one of our messages after we looked."""


class Accepting:
    """The part of the ledger that takes messages in."""

    _database: Database
    _journal: Journal
    _keyring: Keyring

    def record(self, batch: Sequence[Submission], admit: Admit, at: datetime) -> list[Outcome]:
        """Keep each submission once, with its delivery; outcomes in order."""
        if not batch:
            return []
        # Each time round, the message of another process is one that we now know.
        for _ in range(len(batch) + 1):
            try:
                with self._journal.page() as page, self._database.writing() as connection:
                    return self._record(connection, page, batch, admit, at)
            except _Overtaken:
                continue
        raise LedgerUnavailable("others keep recording the same messages")

    def refuse(self, entries: Sequence[RefusalEntry]) -> None:
        """Record refusals, without content."""
        if not entries:
            return
        with self._database.writing() as connection:
            connection.execute(sa.insert(refusal), [refusal_row(each) for each in entries])

    def _record(
        self,
        connection: sa.Connection,
        page: Page,
        batch: Sequence[Submission],
        admit: Admit,
        at: datetime,
    ) -> list[Outcome]:
        known = kept(connection, [identity_of(each) for each in batch])
        new, refused = _admit(batch, known, admit)
        if new:
            rows = _rows(new.values(), self._keyring, at)
            numbers = _write(connection, list(new.values()), rows, self._keyring, at)
            entries = [_entry(row, number) for row, number in zip(rows, numbers, strict=True)]
            proofs = page.write(connection, entries)
            for each, row, proof in zip(new.values(), rows, proofs, strict=True):
                told = receipt_of(row["receipt"], row["original_sha256"], proof)
                known[identity_of(each.submission)] = Kept(row["digest"], told)
        return [
            refused[place] if place in refused else _answer(each, known, repeated=place not in new)
            for place, each in enumerate(batch)
        ]


def _admit(
    batch: Sequence[Submission], known: Iterable[Identity], admit: Admit
) -> tuple[dict[int, Admitted], dict[int, Refusal]]:
    """Decide on what is new, by its place in the batch; the first of an id stands for all."""
    new: dict[int, Admitted] = {}
    refused: dict[int, Refusal] = {}
    seen = set(known)
    for place, submission in enumerate(batch):
        if identity_of(submission) in seen:
            continue
        try:
            new[place] = admit(submission)
        except Refusal as refusal_:
            refused[place] = refusal_
        else:
            seen.add(identity_of(submission))
    return new, refused


def _answer(submission: Submission, known: dict[Identity, Kept], *, repeated: bool) -> Outcome:
    mine = identity_of(submission)
    first = known[mine]
    if first.digest != submission.digest:
        return Refusal(Code.BERICHT_CONFLICT)
    return Receipt(mine.referentienummer, first.receipt, repeated=repeated)


def _rows(new: Iterable[Admitted], keyring: Keyring, at: datetime) -> list[Row]:
    """The messages as rows, sealed, with their attachments beside them."""
    rows = []
    for each in new:
        sealed = seal(keyring.vault, each.submission)
        rows.append({**message_row(each, sealed, at), "attachments": sealed.attachments})
    return rows


def _entry(row: Row, number: int) -> Entry:
    text = accepted_entry(row["receipt"], row["original_sha256"])
    return Entry(ACCEPTED, text, message=number, kept=False)


def _write(
    connection: sa.Connection,
    new: Sequence[Admitted],
    rows: Sequence[Row],
    keyring: Keyring,
    at: datetime,
) -> list[int]:
    """Write messages with their deliveries; returns the number of each.

    Raises:
        _Overtaken: one is there already; the transaction must be given up.
    """
    numbering = reserve(connection, new)
    ids = _insert_messages(connection, rows)
    numbers = [ids[identity_of(each.submission)] for each in new]
    _insert_attachments(connection, rows, numbers)
    _insert_persons(connection, new, numbering, keyring)
    going_on = {numbering[pair_of(each)] for each in new if numbering[pair_of(each)].goes_on}
    held = held_up(connection, {each.id for each in going_on})
    deliveries: list[Row] = []
    for each, number in zip(new, numbers, strict=True):
        mine = numbering[pair_of(each)]
        line = (mine.id, each.ontvanger)
        in_line = held.get(line, False) if each.channel is Channel.POSTBUS else line in held
        row = delivery_row(each, at, waits=in_line and not each.overtakes)
        row["message"] = number
        row["conversation"] = mine.id
        row["volgnummer"] = mine.next(each.ontvanger)
        deliveries.append(row)
        if not each.overtakes and (row["state"] == State.WACHT or each.awaits_confirmation):
            held[line] = held.get(line, False) or row["state"] == State.WACHT
    bulk.insert(connection, delivery, deliveries)
    return numbers


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
        raise _Overtaken
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
    new: Sequence[Admitted],
    numbering: dict[Pair, Numbering],
    keyring: Keyring,
) -> None:
    marks = {
        (mark.version, mark.value, numbering[pair_of(each)].id)
        for each in new
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
