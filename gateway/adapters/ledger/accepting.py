"""Take messages in: each once, in its conversation, a batch in one transaction.

The number of statements does not depend on the number of messages: what the rules need to know
is read for the whole batch, and the rows of a batch go to each table in one go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

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
from gateway.adapters.ledger.recalling import Recalled, cancel_reminders, recalled_by, withdraw
from gateway.adapters.ledger.receipts import Identity, Kept, identity_of, kept
from gateway.adapters.ledger.rows import refusal_row
from gateway.adapters.ledger.tables import refusal
from gateway.errors import Code, LedgerUnavailable, Refusal
from gateway.message import Admitted, Receipt, Submission, Talk
from gateway.record import Admit, AtOnce, Outcome, RefusalEntry

ANSWERED_AT_ONCE = frozenset({"Intrekking", "Statusverzoek"})
"""Kinds to which the gateway itself may say something in the same transaction."""

ENDING = frozenset({"RegelingBeeindigd", "StatusberichtShv"})
"""Kinds that may end a conversation, and with it what the gateway still had to say in it."""


class _Batch(NamedTuple):
    """What ``record`` was asked."""

    batch: Sequence[Submission]
    admit: Admit
    at: datetime
    at_once: AtOnce | None


class Accepting:
    """The part of the ledger that takes messages in."""

    _database: Database
    _journal: Journal
    _keyring: Keyring

    def record(
        self,
        batch: Sequence[Submission],
        admit: Admit,
        at: datetime,
        at_once: AtOnce | None = None,
    ) -> list[Outcome]:
        """Keep each submission once, with its delivery; outcomes in order."""
        if not batch:
            return []
        task = _Batch(batch, admit, at, at_once)
        # Each time round, the message of another process is one that we now know.
        for _ in range(len(batch) + 1):
            try:
                with (
                    self._journal.page() as page,
                    self._database.writing(kept_plans=True) as connection,
                ):
                    return self._record(connection, page, task)
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
        task: _Batch,
    ) -> list[Outcome]:
        batch, admit, at, at_once = task
        known = kept(connection, [identity_of(each) for each in batch])
        fresh = [each for each in batch if identity_of(each) not in known]
        conversations = Conversations(connection, self._keyring)
        conversations.hold(
            self._pairs(fresh),
            to={(pair_of(each), each.message.header.ontvanger) for each in fresh},
        )
        recalled = recalled_by(connection, fresh, conversations)
        decided = _Deciding(conversations, recalled, at)
        decided.decide(batch, known, admit)
        new, refused = decided.new, decided.refused
        gone = withdraw(connection, new.values(), recalled, conversations, at)
        ended = [
            pair for each in new.values() if _ends(each) for pair in self._own(each.submission)
        ]
        gone += cancel_reminders(connection, ended, conversations, at)
        known |= keep(page, new.values(), conversations, at, more=gone, at_once=at_once)
        return [
            refused[place] if place in refused else _answer(each, known, new.get(place))
            for place, each in enumerate(batch)
        ]

    def _pairs(self, fresh: Iterable[Submission]) -> Iterable[Pair]:
        for each in fresh:
            yield pair_of(each)
            kind = each.message.current.kind.name
            if kind in ENDING:
                yield from self._own(each)
            elif kind in ANSWERED_AT_ONCE:
                yield from self._own(each)[:1]

    def _own(self, submission: Submission) -> tuple[Pair, Pair]:
        """Where the gateway speaks about this message: with its sender, and its recipient."""
        own, header = self._keyring.signing.oin, submission.message.header
        return (
            pair_between(header.conversatie, own, header.afzender),
            pair_between(header.conversatie, own, header.ontvanger),
        )


def _ends(admitted: Admitted) -> bool:
    kind = admitted.submission.message.current.kind.name
    return kind in ENDING and admitted.course is not None and admitted.course.ended


@dataclass
class _Deciding:
    """What is decided on the messages of a batch, by their place in it."""

    conversations: Conversations
    recalled: Recalled
    at: datetime
    new: dict[int, Admitted] = field(default_factory=dict)
    refused: dict[int, Refusal] = field(default_factory=dict)

    def decide(self, batch: Sequence[Submission], known: Iterable[Identity], admit: Admit) -> None:
        """Decide on what is new; the first of an id stands for all.

        Each message of a conversation is decided on as the one before it left that.
        """
        seen = set(known)
        for place, submission in enumerate(batch):
            if identity_of(submission) in seen:
                continue
            try:
                admitted = self.new[place] = admit(submission, self._talk(submission))
            except Refusal as refusal_:
                self.refused[place] = refusal_
                continue
            seen.add(identity_of(submission))
            if admitted.course is not None:
                self.conversations[pair_of(submission)].follow(admitted.course, self.at)

    def _talk(self, submission: Submission) -> Talk:
        pair = pair_of(submission)
        mine = self.conversations[pair]
        return Talk(
            stand=mine.stand,
            kern=self.conversations.opening(pair),
            waits=mine.held.get(submission.message.header.ontvanger, False),
            taken=self.recalled.taken(submission, pair),
        )


def _answer(
    submission: Submission, known: dict[Identity, Kept], admitted: Admitted | None
) -> Outcome:
    """The first receipt; with what was lent, for whom brought the message first."""
    mine = identity_of(submission)
    first = known[mine]
    if first.digest != submission.digest:
        return Refusal(Code.BERICHT_CONFLICT)
    if admitted is None:
        return Receipt(mine.referentienummer, first.receipt, repeated=True)
    told = (admitted, *admitted.says)
    deliveries = (known[identity_of(each.submission)].lent for each in told)
    lent = tuple(each for each in deliveries if each is not None)
    return Receipt(
        mine.referentienummer,
        first.receipt,
        repeated=False,
        lent=lent,
        all_lent=len(lent) == len(told),
    )
