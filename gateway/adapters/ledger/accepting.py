"""Keep each message once, with its delivery, a batch in one transaction.

The number of statements does not depend on the number of messages: the rows of a batch go
to each table in one go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from gateway.adapters.ledger.database import Database, insert_into
from gateway.adapters.ledger.order import held_up
from gateway.adapters.ledger.rows import Row, delivery_row, message_row, refusal_row
from gateway.adapters.ledger.tables import conversation, delivery, message, refusal
from gateway.delivery import State
from gateway.errors import Code, LedgerUnavailable, Refusal
from gateway.message import Admitted, Channel, Oin, Receipt, Submission
from gateway.record import Admit, Outcome, RefusalEntry


class Identity(NamedTuple):
    """What makes a message the same one: who sent it under which number."""

    referentienummer: str
    afzender: Oin


class Pair(NamedTuple):
    """A conversation: its id and its two parties, sorted."""

    conversatie: str
    party_a: Oin
    party_b: Oin


@dataclass(frozen=True, slots=True)
class Kept:
    """What the ledger says of a message that it has."""

    digest: str
    receipt: bytes


class _Overtaken(Exception):
    """Another process recorded one of our messages after we looked."""


class Accepting:
    """The part of the ledger that takes messages in."""

    _database: Database

    def record(self, batch: Sequence[Submission], admit: Admit, at: datetime) -> list[Outcome]:
        """Keep each submission once, with its delivery; outcomes in order."""
        if not batch:
            return []
        # Each time round, the message of another process is one that we now know.
        for _ in range(len(batch) + 1):
            try:
                with self._database.writing() as connection:
                    return _record(connection, batch, admit, at)
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
    connection: sa.Connection, batch: Sequence[Submission], admit: Admit, at: datetime
) -> list[Outcome]:
    kept = _kept(connection, batch)
    new, refused = _admit(batch, kept, admit)
    if new:
        _write(connection, list(new.values()), at)
    for each in new.values():
        kept[_identity(each.submission)] = Kept(each.submission.digest, each.receipt)
    return [
        refused[place] if place in refused else _answer(each, kept, repeated=place not in new)
        for place, each in enumerate(batch)
    ]


def _identity(submission: Submission) -> Identity:
    header = submission.message.header
    return Identity(header.referentienummer, header.afzender)


def _pair(admitted: Admitted) -> Pair:
    header = admitted.submission.message.header
    low, high = sorted((header.afzender, admitted.ontvanger))
    return Pair(header.conversatie, low, high)


def _kept(connection: sa.Connection, batch: Sequence[Submission]) -> dict[Identity, Kept]:
    numbers = {each.message.header.referentienummer for each in batch}
    rows = connection.execute(
        sa.select(
            message.c.referentienummer, message.c.afzender, message.c.digest, message.c.receipt
        ).where(message.c.referentienummer.in_(numbers))
    )
    return {
        Identity(row.referentienummer, row.afzender): Kept(row.digest, row.receipt) for row in rows
    }


def _admit(
    batch: Sequence[Submission], kept: dict[Identity, Kept], admit: Admit
) -> tuple[dict[int, Admitted], dict[int, Refusal]]:
    """Decide on what is new, by its place in the batch; the first of an id stands for all."""
    new: dict[int, Admitted] = {}
    refused: dict[int, Refusal] = {}
    known = set(kept)
    for place, submission in enumerate(batch):
        if _identity(submission) in known:
            continue
        try:
            new[place] = admit(submission)
        except Refusal as refusal_:
            refused[place] = refusal_
        else:
            known.add(_identity(submission))
    return new, refused


def _answer(submission: Submission, kept: dict[Identity, Kept], *, repeated: bool) -> Outcome:
    mine = _identity(submission)
    first = kept[mine]
    if first.digest != submission.digest:
        return Refusal(Code.BERICHT_CONFLICT)
    return Receipt(mine.referentienummer, first.receipt, repeated=repeated)


def _write(connection: sa.Connection, new: Sequence[Admitted], at: datetime) -> None:
    """Write messages with their deliveries.

    Raises:
        _Overtaken: one is there already; the transaction must be given up.
    """
    numbers = _reserve(connection, new)
    ids = _insert_messages(connection, new, at)
    going_on = {numbers[_pair(each)] for each in new if numbers[_pair(each)].goes_on}
    held = held_up(connection, {each.id for each in going_on})
    rows: list[Row] = []
    for each in new:
        numbering = numbers[_pair(each)]
        line = (numbering.id, each.ontvanger)
        in_line = held.get(line, False) if each.channel is Channel.POSTBUS else line in held
        row = delivery_row(each, at, waits=in_line and not each.overtakes)
        row["message"] = ids[_identity(each.submission)]
        row["conversation"] = numbering.id
        row["volgnummer"] = numbering.next(each.ontvanger)
        rows.append(row)
        if not each.overtakes and (row["state"] == State.WACHT or each.awaits_confirmation):
            held[line] = held.get(line, False) or row["state"] == State.WACHT
    connection.execute(sa.insert(delivery), rows)


class _Numbering:
    """A locked conversation, and the volgnummers that this batch may give out in it."""

    def __init__(self, number: int, last: dict[Oin, int]) -> None:
        self.id = number
        self.goes_on = any(last.values())
        self._last = last

    def next(self, ontvanger: Oin) -> int:
        self._last[ontvanger] += 1
        return self._last[ontvanger]


def _reserve(connection: sa.Connection, new: Sequence[Admitted]) -> dict[Pair, _Numbering]:
    """Lock the conversations, making new ones, and take the volgnummers of this batch.

    Nobody sees a number that is taken and given up again: the lock lasts as long as the
    transaction, and with it the taking is undone.
    """
    wanted = Counter((_pair(each), each.ontvanger) for each in new)
    # Sorted: two processes with the same conversations must not lock them crosswise.
    taken = {pair: _both(pair, wanted) for pair in sorted({pair for pair, _ in wanted})}
    upsert = insert_into(connection, conversation)
    connection.execute(
        upsert.on_conflict_do_update(
            index_elements=["conversatie", "party_a", "party_b"],
            set_={
                "last_to_a": conversation.c.last_to_a + upsert.excluded.last_to_a,
                "last_to_b": conversation.c.last_to_b + upsert.excluded.last_to_b,
            },
        ),
        [{**pair._asdict(), "last_to_a": a, "last_to_b": b} for pair, (a, b) in taken.items()],
    )
    named = conversation.c.conversatie.in_({pair.conversatie for pair in taken})
    numbers = {}
    for row in connection.execute(sa.select(conversation).where(named)):
        pair = Pair(row.conversatie, row.party_a, row.party_b)
        if pair in taken:  # another pair may use the same id
            a, b = taken[pair]
            last = {pair.party_b: row.last_to_b - b, pair.party_a: row.last_to_a - a}
            numbers[pair] = _Numbering(row.id, last)
    return numbers


def _both(pair: Pair, wanted: Counter[tuple[Pair, Oin]]) -> tuple[int, int]:
    to_a = wanted[pair, pair.party_a]
    to_b = 0 if pair.party_a == pair.party_b else wanted[pair, pair.party_b]
    return to_a, to_b


def _insert_messages(
    connection: sa.Connection, new: Sequence[Admitted], at: datetime
) -> dict[Identity, int]:
    """Insert the messages; returns the number of each."""
    rows = [message_row(each, at) for each in new]
    # Sorted, for the same reason as the conversations.
    rows.sort(key=lambda row: (row["referentienummer"], row["afzender"]))
    inserted = connection.execute(
        insert_into(connection, message).on_conflict_do_nothing(
            index_elements=["referentienummer", "afzender"]
        ),
        rows,
        execution_options={"preserve_rowcount": True},
    )
    if inserted.rowcount != len(rows):
        raise _Overtaken
    numbers = connection.execute(
        sa.select(message.c.id, message.c.referentienummer, message.c.afzender).where(
            message.c.referentienummer.in_([row["referentienummer"] for row in rows])
        )
    )
    return {Identity(row.referentienummer, row.afzender): row.id for row in numbers}
