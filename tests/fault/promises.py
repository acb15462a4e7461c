"""What must hold after every fault: the promises of the gateway, asked of its ledger.

Every message that was answered with yes is kept and delivered, nothing is invented, first copies
came in order per conversation, and what did not arrive is a dead letter that an operator sees.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass

from fixtures.world import SE
from gateway import json, xml
from gateway.adapters.ledger.ledger import SqlLedger
from gateway.dead_letter import DeadLetterFilter
from gateway.delivery import State
from tests.fault.load import Load
from tests.fault.town import LEASES_RUN_OUT, Taken, Town
from tests.servers.party import eventually

RECEIPT = "ontvangstbevestiging"
ENDED = {State.BEVESTIGD, State.GESTRAND, State.VERWORPEN}


@dataclass(frozen=True)
class Held:
    """The counts behind the promises, for the report of a test."""

    accepted: int
    delivered: int
    repeats: int
    dead: int
    failed: str

    @property
    def numbers(self) -> dict[str, int | str]:
        return {
            "accepted": self.accepted,
            "delivered": self.delivered,
            "lost": self.accepted - self.delivered - self.dead,
            "repeats": self.repeats,
            "dead_letters": self.dead,
            "requests_failed": self.failed,
        }


async def everything_holds(
    town: Town,
    load: Load,
    taken: Taken,
    *,
    within: float = LEASES_RUN_OUT,
) -> Held:
    """Wait until every answered message has ended, and check all promises of it.

    What the SHVs rejected must be a dead letter, and nothing else.

    Args:
        within: Seconds that the last delivery may take.

    Raises:
        AssertionError: a promise is broken.
    """
    expected = len(load.receipts)
    dead = set(taken.rejected) & set(load.receipts)
    await settled(town, expected, within=within)
    accepted_is_kept(town, load)
    delivered_is_what_was_sent(load, taken, dead)
    first_copies_came_in_order(taken)
    dead_letters_are_complete(town, dead)
    evidence_verifies(town)
    failed = ", ".join(f"{count}x {what}" for what, count in sorted(load.failed.items()))
    return Held(expected, len(taken.references), taken.repeats, len(dead), failed or "0")


async def settled(town: Town, expected: int, *, within: float = LEASES_RUN_OUT) -> None:
    """Wait until at least so many deliveries are there, and none is under way any more."""
    with closing(town.world.ledger()) as ledger:

        def all_ended() -> bool:
            standing = _standing(ledger)
            return standing.total() == sum(standing[each] for each in ENDED) >= expected

        try:
            await eventually(all_ended, "every delivery has ended", within=within)
        except AssertionError as late:
            raise AssertionError(f"{late}: {dict(_standing(ledger))}") from None


def _standing(ledger: SqlLedger) -> Counter[str]:
    """How many deliveries stand where; not what the gateway itself tells the sender."""
    standing: Counter[str] = Counter()
    for party, states in ledger.overview()["parties"].items():
        if party != SE:
            standing.update(states)
    return standing


def accepted_is_kept(town: Town, load: Load) -> None:
    """Each answered message is there with the receipt that was given, and no other is."""
    with closing(town.world.ledger()) as ledger:
        kept = {own: ledger.message(SE, own) for own in load.bodies}
        deliveries = _standing(ledger).total()
    missing = [own for own in load.receipts if kept[own] is None]
    assert not missing, f"{len(missing)} answered messages are gone"
    for own, answer in load.receipts.items():
        view = kept[own]
        assert view is not None
        given = town.catalogue.to_json(xml.parse(answer))[RECEIPT]
        assert given == json.parse(view.receipt)[RECEIPT]
    there = sum(view is not None for view in kept.values())
    assert deliveries == there, "there are deliveries of messages that nobody sent"


def delivered_is_what_was_sent(load: Load, taken: Taken, dead: Collection[str] = ()) -> None:
    """Each answered message arrived under one delivery id, and nothing else did."""
    times = Counter(taken.references.values())
    assert set(times) <= set(load.bodies), "something arrived that nobody sent"
    lost = set(load.receipts) - set(times) - set(dead)
    assert not lost, f"{len(lost)} answered messages did not arrive"
    assert max(times.values(), default=1) == 1, "one message arrived under two delivery ids"


def first_copies_came_in_order(taken: Taken) -> None:
    """Per conversation the volgnummers came in ascending order."""
    crooked = [order for order in taken.order.values() if order != sorted(order)]
    assert not crooked, f"out of order: {crooked[:5]}"


def dead_letters_are_complete(town: Town, dead: Collection[str] = ()) -> None:
    """Every stranded delivery has its open dead letter, and these are the expected ones."""
    with closing(town.world.ledger()) as ledger:
        letters = ledger.dead_letters(DeadLetterFilter())
        stranded = _standing(ledger)[State.GESTRAND]
    assert len(letters) == stranded
    assert {each.referentienummer for each in letters} == set(dead)


def evidence_verifies(town: Town) -> None:
    """Everything that the ledger of a town keeps agrees with what was signed."""
    with closing(town.world.ledger()) as ledger:
        assert ledger.audit() == []
