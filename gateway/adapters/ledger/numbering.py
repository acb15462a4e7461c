"""Whose conversation is this, and which volgnummers may this batch give out in it?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa

from gateway.adapters.ledger import bulk
from gateway.adapters.ledger.tables import conversation
from gateway.message import Admitted, Oin


class Pair(NamedTuple):
    """A conversation: its id and its two parties, sorted."""

    conversatie: str
    party_a: Oin
    party_b: Oin


def pair_of(admitted: Admitted) -> Pair:
    """The conversation to which a message belongs."""
    header = admitted.submission.message.header
    low, high = sorted((header.afzender, admitted.ontvanger))
    return Pair(header.conversatie, low, high)


class Numbering:
    """A locked conversation, and the volgnummers that this batch may give out in it."""

    def __init__(self, number: int, last: dict[Oin, int]) -> None:
        self.id = number
        self.goes_on = any(last.values())
        self._last = last

    def next(self, ontvanger: Oin) -> int:
        self._last[ontvanger] += 1
        return self._last[ontvanger]


def reserve(connection: sa.Connection, new: Sequence[Admitted]) -> dict[Pair, Numbering]:
    """Lock the conversations, making new ones, and take the volgnummers of this batch.

    Nobody sees a number that is taken and given up again: the lock lasts as long as the
    transaction, and with it the taking is undone.
    """
    wanted = Counter((pair_of(each), each.ontvanger) for each in new)
    # Sorted: two processes with the same conversations must not lock them crosswise.
    taken = {pair: _both(pair, wanted) for pair in sorted({pair for pair, _ in wanted})}
    held = bulk.insert(
        connection,
        conversation,
        [{**pair._asdict(), "last_to_a": a, "last_to_b": b} for pair, (a, b) in taken.items()],
        adding=(conversation.c.last_to_a, conversation.c.last_to_b),
        key=(conversation.c.conversatie, conversation.c.party_a, conversation.c.party_b),
        returning=tuple(conversation.c),
    )
    numbers = {}
    for row in held:
        pair = Pair(row.conversatie, row.party_a, row.party_b)
        a, b = taken[pair]
        last = {pair.party_b: row.last_to_b - b, pair.party_a: row.last_to_a - a}
        numbers[pair] = Numbering(row.id, last)
    return numbers


def _both(pair: Pair, wanted: Counter[tuple[Pair, Oin]]) -> tuple[int, int]:
    to_a = wanted[pair, pair.party_a]
    to_b = 0 if pair.party_a == pair.party_b else wanted[pair, pair.party_b]
    return to_a, to_b
