"""The log of evidence of one process: each commit ends with a signed checkpoint.

A page is written last in a transaction, when every other row is held already: whoever has
the turn in the journal waits for nobody, so nobody waits in a circle.
"""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa

from gateway.adapters.ledger import bulk
from gateway.adapters.ledger.database import Clock
from gateway.adapters.ledger.tables import checkpoint, evidence
from gateway.evidence import (
    NOTHING_BEFORE,
    SALT_BYTES,
    Checkpoint,
    Proof,
    Signed,
    leaf,
    path,
    tree,
)

Sign = Callable[[bytes], tuple[str, bytes]]
"""From the text of a checkpoint to the ``kid`` and the signature."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened.

    Attributes:
        soort: Dutch word for what happened; part of ``text`` too.
        text: What enters the tree, canonical JSON.
        message: Number of the message, where it is about one.
        kept: False where ``text`` can be made again from other rows.
    """

    soort: str
    text: bytes
    message: int | None = None
    delivery: int | None = None
    kept: bool = True


class Journal:
    """Writes checkpoints, one after another, in a log of its own.

    Args:
        sign: Signs the text of a checkpoint.
        clock: Tells the instant of a checkpoint; a log in which it goes back has a clock
            that was set back.

    Attributes:
        log: UUID of the log; a process that starts, or does not know what became of a
            commit, begins a new one, which cannot contradict the old.
        number: Of the last checkpoint that was committed; 0 for none.
        head: What the next checkpoint names as the one before it.
        turn: Held from writing a page until its transaction has ended.
    """

    def __init__(self, sign: Sign, clock: Clock) -> None:
        self.sign = sign
        self.clock = clock
        self.turn = threading.Lock()
        self.begin()

    def begin(self) -> None:
        """Go on in a new log."""
        self.log, self.number, self.head = str(uuid.uuid4()), 0, NOTHING_BEFORE

    @contextmanager
    def page(self) -> Iterator[Page]:
        """Around a transaction: what is written in the page counts once that is committed."""
        page = Page(self)
        try:
            yield page
        except BaseException:
            page.close(committed=False)
            raise
        page.close(committed=True)


class Page:
    """What one transaction adds to the journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._mine = False
        self._written: Checkpoint | None = None

    def write(self, connection: sa.Connection, entries: Sequence[Entry]) -> list[Proof]:
        """Add a checkpoint over these entries; once, as the last thing in the transaction.

        Returns:
            The proof of each, in order; it holds once the transaction is committed.
        """
        if not entries:
            return []
        salts = [os.urandom(SALT_BYTES) for _ in entries]
        levels = tree([leaf(salt, each.text) for salt, each in zip(salts, entries, strict=True)])
        signed = self._next(len(entries), levels[-1][0])
        bulk.insert_under(
            connection,
            checkpoint,
            _row(signed, levels[0]),
            evidence,
            [
                {
                    "place": place,
                    "soort": entry.soort,
                    "message": entry.message,
                    "delivery": entry.delivery,
                    "salt": salt,
                    "entry": entry.text.decode() if entry.kept else None,
                }
                for place, (entry, salt) in enumerate(zip(entries, salts, strict=True))
            ],
        )
        return [Proof(salt, place, path(levels, place), signed) for place, salt in enumerate(salts)]

    def _next(self, size: int, root: bytes) -> Signed:
        journal = self._journal
        journal.turn.acquire()
        self._mine = True
        number, at = journal.number + 1, journal.clock()
        point = Checkpoint(journal.log, number, at, size, root, journal.head)
        signed = Signed(point, *journal.sign(point.signed_text()))
        self._written = point
        return signed

    def close(self, *, committed: bool) -> None:
        """The transaction has ended; where it was not committed, nobody may know whether."""
        if not self._mine:
            return
        journal = self._journal
        if committed and self._written is not None:
            journal.number, journal.head = self._written.number, self._written.head
        else:
            journal.begin()
        journal.turn.release()


def _row(signed: Signed, leaves: Sequence[bytes]) -> dict[str, object]:
    point = signed.checkpoint
    return {
        "log": point.log,
        "number": point.number,
        "at": point.at,
        "root": point.root,
        "previous": point.previous,
        "leaves": b"".join(leaves),
        "kid": signed.kid,
        "signature": signed.signature,
    }
