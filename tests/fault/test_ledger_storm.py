"""Whatever meets whatever at the same moment: nothing is lost, stuck, or out of order."""

from __future__ import annotations

import random
import shutil
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from fixtures.keyring import a_keyring
from gateway.adapters.ledger import tables
from gateway.adapters.ledger.ledger import SqlLedger, open_ledger
from gateway.adapters.ledger.migrate import migrate
from gateway.dead_letter import Stranding
from gateway.delivery import Reason, State
from gateway.message import Admitted, Channel, Delivery, Oin, Submission, Talk
from tests.conformance.delivering import LEASE, at_once, conclude, dead, ids_of, lend, rows, told
from tests.conformance.submissions import (
    CREDITOR,
    MUNICIPALITY,
    NOON,
    a_submission,
    a_uuid,
    admitting,
)
from tests.fault.conftest import Counts

CONVERSATIONS = 6
BATCHES = 15
BATCH = 8
ENDS = (State.BEVESTIGD, State.AANGEBODEN, State.WACHT, State.GESTRAND)


class Storm:
    """Several workers of each kind on one ledger, each with luck of its own."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.recording = 2  # how many still record
        self.offered: list[Delivery] = []
        self.trouble: list[str] = []
        self._lock = threading.Lock()

    def luck(self, name: str) -> random.Random:
        return random.Random(f"{self.seed} {name}")

    def record(self, ledger: SqlLedger, who: int) -> None:
        luck = self.luck(f"record {who}")
        for turn in range(BATCHES):
            first = 1 + BATCH * (turn + (who * BATCHES if luck.random() < 0.8 else 0))
            batch = [self.draw(number, luck) for number in range(first, first + BATCH)]
            luck.shuffle(batch)
            ledger.record(batch, self.admit, NOON)
        with self._lock:
            self.recording -= 1

    def draw(self, number: int, luck: random.Random) -> Submission:
        sender, recipient = (CREDITOR, MUNICIPALITY)[:: 1 if number % 3 else -1]
        return a_submission(
            number,
            afzender=sender,
            ontvanger=recipient,
            conversatie=a_uuid("conversation", number % CONVERSATIONS),
            receipt_id=a_uuid(luck.random()),
            delivery_id=a_uuid(luck.random()),
        )

    def admit(self, submission: Submission, talk: Talk) -> Admitted:
        kind = int(submission.message.header.referentienummer[:4], 16)
        channel = Channel.QUEUE if kind % 2 else Channel.PUSH
        return admitting(
            channel,
            awaits_confirmation=kind % 5 > 0,
            blocks=kind % 7 > 0,
            overtakes=kind % 11 == 0,
        )(submission, talk)

    def deliver(self, ledger: SqlLedger, who: int) -> None:
        luck = self.luck(f"deliver {who}")
        while self.recording:
            lent = lend(ledger, limit=5)
            with self._lock:
                self.offered += lent
            lines = [(each.conversatie, each.ontvanger) for each in lent if not _passes(each)]
            if len(lines) != len(set(lines)):
                self.trouble.append("two of one conversation were lent at once")
            ends = [(each, luck.choice(ENDS)) for each in lent if luck.random() < 0.95]
            ledger.conclude([told(each, end, retry_at=_soon(end)) for each, end in ends])

    def confirm(self, ledger: SqlLedger) -> None:
        luck = self.luck("confirm")
        while self.recording:
            with self._lock:
                some = luck.sample(self.offered, min(5, len(self.offered)))
            for party in (CREDITOR, MUNICIPALITY):
                ledger.confirm(party, [each.id for each in some], NOON)
            if luck.random() < 0.2:
                gone = [Stranding(each.id, Reason.GEWEIGERD, "", NOON) for each in some[:1]]
                ledger.strand(gone)

    def operate(self, ledger: SqlLedger) -> None:
        luck = self.luck("operate")
        while self.recording:
            letters = ids_of(dead(ledger, limit=5))
            act = luck.choice((ledger.replay, ledger.discard, ledger.release))
            act(letters, by="ada", why="", at=NOON)
            ledger.refill(luck.choice((CREDITOR, MUNICIPALITY)), NOON, NOON)


def _soon(end: State) -> object:
    return NOON if end is State.WACHT else None


def _passes(delivery: Delivery) -> bool:
    return int(delivery.referentienummer[:4], 16) % 11 == 0


def settle_everything(ledger: SqlLedger) -> None:
    """Deliver, confirm and replay until nothing moves."""
    at = NOON
    moved = True
    while moved:
        at += LEASE
        moved = bool(conclude(ledger, State.BEVESTIGD, at=at))
        offered = rows(
            ledger, sa.select(tables.delivery).where(tables.delivery.c.state == "aangeboden")
        )
        for party in (CREDITOR, MUNICIPALITY):
            mine = [row.delivery_id for row in offered if row.ontvanger == party]
            ledger.confirm(Oin(party), mine, at)
        moved |= bool(offered)
        moved |= bool(ledger.replay(ids_of(dead(ledger)), by="ada", why="", at=at))


@pytest.fixture(params=["sqlite-file", pytest.param("postgres", marks=pytest.mark.database)])
def two_ledgers(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[SqlLedger, SqlLedger]]:
    if request.param == "postgres":
        address = str(request.getfixturevalue("postgres_url"))
    else:
        address = f"sqlite:///{tmp_path / 'ledger.db'}"
        migrate(address)
    one, other = (open_ledger(address, a_keyring(), patience_s=60) for _ in range(2))
    yield one, other
    one.close()
    other.close()
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.mark.parametrize("seed", [1])
def test_a_storm_leaves_every_message_delivered_once_recorded_and_in_order(
    two_ledgers: tuple[SqlLedger, SqlLedger], seed: int, counts: Counts
) -> None:
    storm = Storm(seed)
    one, other = two_ledgers
    workers: list[Callable[[], None]] = [
        lambda: storm.record(one, 0),
        lambda: storm.record(other, 1),
        lambda: storm.deliver(one, 0),
        lambda: storm.deliver(other, 1),
        lambda: storm.confirm(one),
        lambda: storm.operate(other),
    ]

    at_once(*workers)
    settle_everything(one)

    assert storm.trouble == []
    found = rows(one, sa.select(tables.delivery))
    stuck = [
        row
        for row in found
        if row.state not in {"bevestigd", "verworpen", "gestrand"}
        or (row.state == "gestrand" and not row.released)
    ]
    assert stuck == []
    assert one.heal(NOON + timedelta(days=1)) == 0
    for conversation in rows(one, sa.select(tables.conversation)):
        mine = [row for row in found if row.conversation == conversation.id]
        for recipient, last in (
            (conversation.party_a, conversation.last_to_a),
            (conversation.party_b, conversation.last_to_b),
        ):
            given = sorted(row.volgnummer for row in mine if row.ontvanger == recipient)
            assert given == list(range(1, last + 1))
    lines: dict[tuple[str, Oin], list[int]] = {}
    for each in storm.offered:
        if each.attempt == 1 and not _passes(each):
            lines.setdefault((each.conversatie, each.ontvanger), []).append(each.volgnummer)
    assert lines
    assert all(order == sorted(order) for order in lines.values())
    assert one.audit() == []
    counts(
        "storm on one ledger",
        accepted=len(found),
        leases=len(storm.offered),
        discarded=sum(row.state == "verworpen" for row in found),
        stuck=len(stuck),
    )
