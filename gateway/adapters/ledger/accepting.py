"""Take messages in: each once, in its conversation, a batch in one transaction.

The number of statements does not depend on the number of messages: what the rules need to know
is read for the whole batch, and the rows of a batch go to each table in one go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import sqlalchemy as sa

from gateway.adapters.keyring import Keyring
from gateway.adapters.ledger.database import Database
from gateway.adapters.ledger.journal import Journal, Page
from gateway.adapters.ledger.keeping import keep
from gateway.adapters.ledger.numbering import (
    Conversations,
    Overtaken,
    Pair,
    pair_between,
    pair_of,
)
from gateway.adapters.ledger.recalling import Recalled, recalled_by, withdraw
from gateway.adapters.ledger.receipts import Identity, Kept, identity_of, kept
from gateway.adapters.ledger.rows import refusal_row
from gateway.adapters.ledger.tables import refusal
from gateway.errors import Code, LedgerUnavailable, Refusal
from gateway.message import Admitted, Receipt, Submission, Talk
from gateway.record import Admit, Outcome, RefusalEntry

ANSWERED_AT_ONCE = frozenset({"Intrekking", "Statusverzoek"})
"""Kinds to which the gateway itself may say something in the same transaction."""


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
            except Overtaken:
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
        fresh = [each for each in batch if identity_of(each) not in known]
        conversations = Conversations(connection, self._keyring.vault)
        conversations.hold(self._pairs(fresh))
        recalled = recalled_by(connection, fresh)
        new, refused = _admit(batch, known, admit, conversations, recalled, at)
        gone = withdraw(connection, new.values(), recalled, at)
        known |= keep(connection, page, new.values(), conversations, self._keyring, at, gone)
        return [
            refused[place] if place in refused else _answer(each, known, repeated=place not in new)
            for place, each in enumerate(batch)
        ]

    def _pairs(self, fresh: Iterable[Submission]) -> Iterable[Pair]:
        own = self._keyring.signing.oin
        for each in fresh:
            yield pair_of(each)
            if each.message.kind.name in ANSWERED_AT_ONCE:
                header = each.message.header
                yield pair_between(header.conversatie, own, header.afzender)


def _admit(
    batch: Sequence[Submission],
    known: Iterable[Identity],
    admit: Admit,
    conversations: Conversations,
    recalled: Recalled,
    at: datetime,
) -> tuple[dict[int, Admitted], dict[int, Refusal]]:
    """Decide on what is new, by its place in the batch; the first of an id stands for all.

    Each message of a conversation is decided on as the one before it left that.
    """
    new: dict[int, Admitted] = {}
    refused: dict[int, Refusal] = {}
    seen = set(known)
    for place, submission in enumerate(batch):
        if identity_of(submission) in seen:
            continue
        pair = pair_of(submission)
        mine = conversations[pair]
        talk = Talk(
            stand=mine.stand,
            kern=conversations.opening(pair),
            waits=mine.held.get(submission.message.header.ontvanger, False),
            taken=recalled.taken(submission, pair),
        )
        try:
            admitted = new[place] = admit(submission, talk)
        except Refusal as refusal_:
            refused[place] = refusal_
            continue
        seen.add(identity_of(submission))
        if admitted.course is not None:
            mine.follow(admitted.course, at)
    return new, refused


def _answer(submission: Submission, known: dict[Identity, Kept], *, repeated: bool) -> Outcome:
    mine = identity_of(submission)
    first = known[mine]
    if first.digest != submission.digest:
        return Refusal(Code.BERICHT_CONFLICT)
    return Receipt(mine.referentienummer, first.receipt, repeated=repeated)
