"""What may leave at once goes to a courier that has room for it, and to no other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from gateway.adapters.handover import LARGEST_BYTES, Handover, Room, Way
from gateway.message import Channel, Delivery, Oin
from tests.unit.test_delivery import PARTY, a_delivery

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
OTHER = Oin("00000099000000009990")
LEASE = timedelta(seconds=30)
ROOMY = Room(slots=9, per_party=9, under_way={}, shut=frozenset(), lease=LEASE)


@dataclass
class Taker:
    room: Room | None = ROOMY
    taken: list[Delivery] = field(default_factory=list)

    def take(self, lent: Sequence[Delivery]) -> None:
        self.taken += lent


def answers(handover: Handover, *parties: Oin, size: int = 1) -> list[bool]:
    at_once = handover.offer(NOON)
    return [at_once(Channel.QUEUE, party, size) is not None for party in parties]


def over(taker: Taker, *, passable: bool = True) -> Handover:
    return Handover({Channel.QUEUE: Way(taker, lambda: passable)})


def test_a_lease_begins_when_the_batch_is_recorded() -> None:
    at_once = over(Taker()).offer(NOON)

    assert at_once(Channel.QUEUE, PARTY, 1) == NOON + LEASE


def test_a_channel_without_a_courier_here_gets_nothing() -> None:
    assert over(Taker()).offer(NOON)(Channel.PUSH, PARTY, 1) is None


def test_no_batch_takes_more_than_there_are_slots() -> None:
    handover = over(Taker(replace(ROOMY, slots=2)))

    assert answers(handover, PARTY, OTHER, PARTY) == [True, True, False]


def test_one_party_takes_no_more_than_its_share() -> None:
    handover = over(Taker(replace(ROOMY, per_party=3, under_way={PARTY: 2})))

    assert answers(handover, PARTY, PARTY, OTHER) == [True, False, True]


def test_nothing_goes_to_a_party_that_is_shut() -> None:
    handover = over(Taker(replace(ROOMY, shut=frozenset({PARTY}))))

    assert answers(handover, PARTY, OTHER) == [False, True]


def test_nothing_goes_while_our_own_way_out_is_closed() -> None:
    assert answers(over(Taker(), passable=False), PARTY) == [False]


def test_nothing_goes_to_a_courier_that_stops() -> None:
    assert answers(over(Taker(room=None)), PARTY) == [False]


def test_large_content_waits_in_the_ledger() -> None:
    handover = over(Taker())

    assert answers(handover, PARTY, size=LARGEST_BYTES) == [True]
    assert answers(handover, PARTY, size=LARGEST_BYTES + 1) == [False]


def test_each_courier_is_given_what_is_its_own() -> None:
    queue, push = Taker(), Taker()
    handover = Handover({Channel.QUEUE: Way(queue), Channel.PUSH: Way(push)})
    one = replace(a_delivery(), channel=Channel.QUEUE)
    other = replace(a_delivery(), channel=Channel.PUSH)

    handover.take([one, other])

    assert (queue.taken, push.taken) == ([one], [other])
