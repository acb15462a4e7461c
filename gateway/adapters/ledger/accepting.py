"""Keep each message once, with its delivery, a batch in one transaction."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from gateway.adapters.ledger.database import Database
from gateway.adapters.ledger.order import held_up
from gateway.adapters.ledger.tables import conversation, delivery, message, refusal
from gateway.delivery import State
from gateway.errors import Code, Refusal
from gateway.message import Admitted, Channel, Oin, Receipt, Submission
from gateway.record import Admit, Outcome, RefusalEntry

Rows = list[dict[str, Any]]


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


class Accepting:
    """The part of the ledger that takes messages in."""

    _database: Database

    def record(self, batch: Sequence[Submission], admit: Admit, at: datetime) -> list[Outcome]:
        """Keep each submission once, with its delivery; outcomes in order."""
        with self._database.writing() as connection:
            kept = _kept(connection, [identity(each) for each in batch])
            new, refused = _admit(batch, kept, admit)
            if new:
                written = _write(connection, new, at)
                kept |= written
                # Another process was first with these, since we looked.
                missing = [identity(each.submission) for each in new.values()]
                kept |= _kept(connection, [each for each in missing if each not in kept])
            else:
                written = {}
        return [
            refused[place]
            if place in refused
            else _answer(each, kept, first=_is_first(each, place, new, written))
            for place, each in enumerate(batch)
        ]

    def refuse(self, entries: Sequence[RefusalEntry]) -> None:
        """Record refusals, without content."""
        if not entries:
            return
        with self._database.writing() as connection:
            connection.execute(sa.insert(refusal), [_refusal_row(each) for each in entries])


def identity(submission: Submission) -> Identity:
    header = submission.message.header
    return Identity(header.referentienummer, header.afzender)


def pair(admitted: Admitted) -> Pair:
    header = admitted.submission.message.header
    low, high = sorted((header.afzender, admitted.ontvanger))
    return Pair(header.conversatie, low, high)


def _admit(
    batch: Sequence[Submission], kept: dict[Identity, Kept], admit: Admit
) -> tuple[dict[int, Admitted], dict[int, Refusal]]:
    """Decide on what is new, by its place in the batch; the first of an id stands for all."""
    new: dict[int, Admitted] = {}
    refused: dict[int, Refusal] = {}
    known = set(kept)
    for place, submission in enumerate(batch):
        if identity(submission) in known:
            continue
        try:
            new[place] = admit(submission)
        except Refusal as refusal_:
            refused[place] = refusal_
        else:
            known.add(identity(submission))
    return new, refused


def _is_first(
    submission: Submission,
    place: int,
    new: dict[int, Admitted],
    written: dict[Identity, Kept],
) -> bool:
    return place in new and identity(submission) in written


def _answer(submission: Submission, kept: dict[Identity, Kept], *, first: bool) -> Outcome:
    mine = identity(submission)
    earlier = kept[mine]
    if earlier.digest != submission.digest:
        return Refusal(Code.BERICHT_CONFLICT)
    return Receipt(mine.referentienummer, earlier.receipt, repeated=not first)


def _kept(connection: sa.Connection, wanted: Sequence[Identity]) -> dict[Identity, Kept]:
    if not wanted:
        return {}
    rows = connection.execute(
        sa.select(
            message.c.referentienummer, message.c.afzender, message.c.digest, message.c.receipt
        ).where(message.c.referentienummer.in_({each.referentienummer for each in wanted}))
    )
    return {
        Identity(row.referentienummer, row.afzender): Kept(row.digest, row.receipt) for row in rows
    }


def _write(
    connection: sa.Connection, new: dict[int, Admitted], at: datetime
) -> dict[Identity, Kept]:
    """Write messages, then deliveries for those that were not there after all."""
    numbers = _reserve(connection, new.values())
    ids = _insert_messages(connection, new.values(), at)
    mine = [each for each in new.values() if identity(each.submission) in ids]
    lost = [each for each in new.values() if identity(each.submission) not in ids]
    _insert_deliveries(connection, mine, ids, numbers, at)
    if lost:
        _give_back(connection, lost, numbers)
    return {identity(each.submission): Kept(each.submission.digest, each.receipt) for each in mine}


class Numbers:
    """The conversation as it was locked: where its volgnummers go on, per recipient."""

    def __init__(self, number: int, last: dict[Oin, int]) -> None:
        self.number = number
        self._last = last

    def next(self, ontvanger: Oin) -> int:
        self._last[ontvanger] += 1
        return self._last[ontvanger]

    def is_new(self) -> bool:
        return not any(self._last.values())


def _reserve(connection: sa.Connection, new: Iterable[Admitted]) -> dict[Pair, Numbers]:
    """Lock the conversations, making new ones, and take the volgnummers of this batch."""
    wanted = Counter((pair(each), each.ontvanger) for each in new)
    # Sorted: two processes with the same conversations must not lock them crosswise.
    taken = {each: _wanted_of(each, wanted) for each in sorted({each for each, _ in wanted})}
    upsert = _insert_for(connection, conversation)
    upsert = upsert.on_conflict_do_update(
        index_elements=["conversatie", "party_a", "party_b"],
        set_={
            "last_to_a": conversation.c.last_to_a + upsert.excluded.last_to_a,
            "last_to_b": conversation.c.last_to_b + upsert.excluded.last_to_b,
        },
    )
    rows = connection.execute(
        upsert.returning(conversation),
        [{**each._asdict(), "last_to_a": a, "last_to_b": b} for each, (a, b) in taken.items()],
    )
    numbers = {}
    for row in rows:
        each = Pair(row.conversatie, row.party_a, row.party_b)
        a, b = taken[each]
        last = {row.party_b: row.last_to_b - b, row.party_a: row.last_to_a - a}
        numbers[each] = Numbers(row.id, last)
    return numbers


def _wanted_of(each: Pair, wanted: Counter[tuple[Pair, Oin]]) -> tuple[int, int]:
    to_a = wanted[each, each.party_a]
    to_b = 0 if each.party_a == each.party_b else wanted[each, each.party_b]
    return to_a, to_b


def _give_back(
    connection: sa.Connection, lost: Sequence[Admitted], numbers: dict[Pair, Numbers]
) -> None:
    """Return volgnummers that no delivery got; nobody saw them, for we hold the lock."""
    counts = Counter((pair(each), each.ontvanger) for each in lost)
    rows = []
    for each in {each for each, _ in counts}:
        to_a, to_b = _wanted_of(each, counts)
        rows.append({"number": numbers[each].number, "a": to_a, "b": to_b})
    connection.execute(
        sa.update(conversation)
        .where(conversation.c.id == sa.bindparam("number"))
        .values(
            last_to_a=conversation.c.last_to_a - sa.bindparam("a"),
            last_to_b=conversation.c.last_to_b - sa.bindparam("b"),
        ),
        rows,
    )


def _insert_messages(
    connection: sa.Connection, new: Iterable[Admitted], at: datetime
) -> dict[Identity, int]:
    """Insert what is not there; returns the number of each message that went in."""
    rows = sorted(
        (_message_row(each, at) for each in new),
        key=lambda row: (row["referentienummer"], row["afzender"]),
    )
    inserted = connection.execute(
        _insert_for(connection, message)
        .on_conflict_do_nothing(index_elements=["referentienummer", "afzender"])
        .returning(message.c.id, message.c.referentienummer, message.c.afzender),
        rows,
    )
    return {Identity(row.referentienummer, row.afzender): row.id for row in inserted}


def _message_row(admitted: Admitted, at: datetime) -> dict[str, Any]:
    submission = admitted.submission
    canonical = submission.message
    header = canonical.header
    received = canonical.verified.received
    signer = canonical.verified.signer
    return {
        "referentienummer": header.referentienummer,
        "afzender": header.afzender,
        "ontvanger": header.ontvanger,
        "conversatie": header.conversatie,
        "cross": header.cross,
        "namens": header.namens,
        "vervangt": header.vervangt,
        "versie": header.versie,
        "tijdstip": header.tijdstip,
        "module": canonical.kind.module,
        "major": canonical.kind.major,
        "soort": canonical.kind.name,
        "received_at": received.at,
        "recorded_at": at,
        "door": received.door.value,
        "dialect": received.dialect.value,
        "digest": submission.digest,
        "original_sha256": hashlib.sha256(received.body).hexdigest(),
        "signer_fingerprint": signer.fingerprint,
        "signer_algorithm": signer.algorithm,
        "warnings": [{"regel": each.rule, "pad": each.path} for each in canonical.warnings],
        "receipt_id": submission.receipt_id,
        "receipt": admitted.receipt,
        "signature": received.signature,
        "digest_header": received.digest,
        "canonical": submission.canonical,
        "original": received.body,
    }


def _insert_deliveries(
    connection: sa.Connection,
    mine: Sequence[Admitted],
    ids: dict[Identity, int],
    numbers: dict[Pair, Numbers],
    at: datetime,
) -> None:
    if not mine:
        return
    going_on = {numbers[pair(each)] for each in mine}
    held = held_up(connection, [each.number for each in going_on if not each.is_new()])
    rows: Rows = []
    for each in mine:
        numbering = numbers[pair(each)]
        line = (numbering.number, each.ontvanger)
        row = _delivery_row(each, at, waits=line in held and not each.overtakes)
        row["message"] = ids[identity(each.submission)]
        row["conversation"] = numbering.number
        row["volgnummer"] = numbering.next(each.ontvanger)
        rows.append(row)
        if not each.overtakes and (row["state"] == State.WACHT or each.awaits_confirmation):
            held.add(line)
    connection.execute(sa.insert(delivery), rows)


def _delivery_row(admitted: Admitted, at: datetime, *, waits: bool) -> dict[str, Any]:
    """A delivery as it starts: in a postbus it is offered at once, else it waits."""
    offered = admitted.channel is Channel.POSTBUS
    goes = not offered and not waits
    return {
        "delivery_id": admitted.submission.delivery_id,
        "ontvanger": admitted.ontvanger,
        "channel": admitted.channel.value,
        "state": (State.AANGEBODEN if offered else State.WACHT).value,
        "awaits_confirmation": admitted.awaits_confirmation,
        "overtakes": admitted.overtakes,
        "blocks": admitted.blocks,
        "released": False,
        "due_at": at if goes else None,
        "fence": 0,
        "attempts": 0,
        "unanswered": 0,
        "recorded_at": at,
        "queued_at": at if goes or offered else None,
        "offered_at": at if offered else None,
    }


def _refusal_row(entry: RefusalEntry) -> dict[str, Any]:
    return {
        "at": entry.at,
        "door": entry.door.value,
        "code": entry.code.value,
        "party": entry.party,
        "referentienummer": entry.referentienummer,
        "count": entry.count,
    }


def _insert_for(connection: sa.Connection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """Both databases know ON CONFLICT, the library has it per dialect."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table)
    return postgresql.insert(table)
