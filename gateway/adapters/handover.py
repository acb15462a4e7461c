"""What may leave at once goes from the writer straight to a courier of this process.

It is recorded as lent to that courier, so nobody else takes it, and if this process ends its
lease runs out like any other. The courier need not ask the ledger for it: that saves a look, a
change of its row, and opening what was sealed a moment ago.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from gateway.message import Channel, Delivery, Oin
from gateway.record import AtOnce

LARGEST_BYTES = 256 * 1024
"""Larger content waits in the ledger until a courier has room for it, not in memory."""


@dataclass(frozen=True, slots=True)
class Room:
    """What a courier could take when it last looked around.

    Attributes:
        slots: Attempts that it could begin.
        per_party: The same, for each party with none under way.
        under_way: Attempts by party, as many as there are when it is asked.
        shut: Parties to which nothing may go now.
        lease: How long it may keep what it takes.
    """

    slots: int
    per_party: int
    under_way: Mapping[Oin, int]
    shut: frozenset[Oin]
    lease: timedelta


class Taker(Protocol):
    """A courier."""

    @property
    def room(self) -> Room | None:
        """What it could take; None where it takes nothing any more. Asked in any thread."""
        ...

    def take(self, lent: Sequence[Delivery]) -> None:
        """Begin attempts on these, in the event loop."""
        ...


class Way(NamedTuple):
    """A courier, and whether anything can leave on its channel now."""

    taker: Taker
    passable: Callable[[], bool] = lambda: True


class Handover:
    """Between the one writer of a process and its couriers.

    Args:
        ways: By channel.
    """

    def __init__(self, ways: Mapping[Channel, Way]) -> None:
        self._ways = ways

    def offer(self, now: datetime) -> AtOnce:
        """What couriers could take of a batch that is recorded now; asked in the writing thread.

        What they began since they last looked around is not counted: a few too many wait a
        moment for nothing but their turn on the wire.
        """
        rooms = {channel: way.taker.room for channel, way in self._ways.items() if way.passable()}
        taken: Counter[Channel] = Counter()
        parties: Counter[Oin] = Counter()

        def at_once(channel: Channel, ontvanger: Oin, size: int) -> datetime | None:
            room = rooms.get(channel)
            if room is None or size > LARGEST_BYTES or ontvanger in room.shut:
                return None
            left = room.per_party - room.under_way.get(ontvanger, 0) - parties[ontvanger]
            if left <= 0 or taken[channel] >= room.slots:
                return None
            taken[channel] += 1
            parties[ontvanger] += 1
            return now + room.lease

        return at_once

    def take(self, lent: Sequence[Delivery]) -> None:
        """Give these to their couriers; called in the event loop once they are recorded."""
        for channel, way in self._ways.items():
            mine = [each for each in lent if each.channel is channel]
            if mine:
                way.taker.take(mine)
