"""What was acknowledged survives the end of the process and of the database server."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway.adapters.keyring import Keyring
from gateway.adapters.ledger import tables
from gateway.adapters.ledger.ledger import SqlLedger, open_ledger
from gateway.adapters.ledger.migrate import migrate
from gateway.adapters.ledger.sealing import ORIGINAL, data_key, whole
from gateway.message import Receipt
from tests.conformance.delivering import rows
from tests.conformance.submissions import NOON, admitting
from tests.conftest import NewWorld
from tests.fault.conftest import Counts
from tests.fault.ledger_writing import SIZE, batch_from
from tests.servers.postgres import Postgres, a_postgres

ROOT = Path(__file__).parents[2]
ROUNDS = (2, 3, 5)
"""After how many acknowledged batches each round ends."""


class Told:
    """What the writing process said before it ended."""

    def __init__(self) -> None:
        self.tried: list[int] = []
        self.kept: list[int] = []

    def numbers(self, there: Counter[int]) -> dict[str, int]:
        """Messages tried and acknowledged, for the report of a test.

        Args:
            there: How many messages the ledger has of each batch.
        """
        return {
            "tried": SIZE * len(self.tried),
            "accepted": SIZE * len(self.kept),
            "there": there.total(),
            "lost": sum(SIZE - there[first] for first in self.kept),
        }

    def hear(self, line: str) -> None:
        word, number = line.split()
        (self.tried if word == "try" else self.kept).append(int(number))


End = Callable[["subprocess.Popen[str]"], None]


def write_until_ended(address: str, keys: Path, told: Told, batches: int, end: End) -> None:
    """Run the writing process; after so many batches ``end`` it in the middle of its work."""
    first = max(told.tried, default=1 - SIZE) + SIZE
    command = [sys.executable, "-m", "tests.fault.ledger_writing", address, str(keys), str(first)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as child:
        assert child.stdout is not None
        enough = len(told.kept) + batches
        for line in child.stdout:
            told.hear(line)
            if len(told.kept) == enough:
                break
        else:
            raise AssertionError("the writing process ended by itself")
        end(child)
        for line in child.stdout:
            told.hear(line)


def assert_whole(ledger: SqlLedger, told: Told) -> Counter[int]:
    """Everything acknowledged is there, whole, and nothing that was never tried.

    Returns:
        How many messages are there of each batch.
    """
    expected = {
        each.message.header.referentienummer: (first, each)
        for first in told.tried
        for each in batch_from(first)
    }
    found = {
        row.referentienummer: row
        for row in rows(
            ledger,
            sa.select(tables.message, tables.delivery.c.delivery_id).join_from(
                tables.message,
                tables.delivery,
                tables.delivery.c.message == tables.message.c.id,
                isouter=True,
            ),
        )
    }
    assert set(found) <= set(expected)
    there = Counter(expected[number][0] for number in found)
    assert set(told.kept) <= set(there)
    assert set(there.values()) == {SIZE}  # whole batches only
    for number, row in found.items():
        _, submission = expected[number]
        key = data_key(ledger._keyring.vault, row)
        assert whole(key, ORIGINAL, row.original, dict) == submission.message.verified.received.body
        assert row.delivery_id == submission.delivery_id
    assert_numbered_without_gaps(ledger)
    assert ledger.audit() == []
    return there


def assert_numbered_without_gaps(ledger: SqlLedger) -> None:
    lines: dict[int, list[int]] = {}
    query = sa.select(tables.delivery.c.conversation, tables.delivery.c.volgnummer)
    for row in rows(ledger, query):
        lines.setdefault(row.conversation, []).append(row.volgnummer)
    for row in rows(ledger, sa.select(tables.conversation)):
        given = sorted(lines.get(row.id, []))
        assert given == list(range(1, max(row.last_to_a, row.last_to_b) + 1))


def assert_a_repeat_is_known(ledger: SqlLedger, told: Told) -> None:
    for first in told.kept:
        outcomes = ledger.record(batch_from(first), admitting(), NOON)
        assert all(isinstance(each, Receipt) and each.repeated for each in outcomes)


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[Postgres]:
    """A server that these tests may crash, with fsync."""
    with a_postgres(durable=True) as server:
        yield server


@pytest.fixture
def keys(new_world: NewWorld, tmp_path: Path) -> Path:
    """The keys of one gateway: what the writing process signs can be verified here."""
    return new_world(tmp_path / "gateway").settings.keys


@pytest.fixture(params=["sqlite-file", pytest.param("postgres", marks=pytest.mark.database)])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        server: Postgres = request.getfixturevalue("own_postgres")
        made = server.url(server.create())
    else:
        made = f"sqlite:///{tmp_path / 'ledger.db'}"
    migrate(made)
    return made


def test_killing_the_writer_loses_nothing_that_was_acknowledged(
    address: str, keys: Path, counts: Counts
) -> None:
    told = Told()

    for batches in ROUNDS:
        write_until_ended(address, keys, told, batches, lambda child: child.kill())

        ledger = open_ledger(address, Keyring.load(keys))
        assert_whole(ledger, told)
        ledger.close()

    ledger = open_ledger(address, Keyring.load(keys))
    assert_a_repeat_is_known(ledger, told)
    there = assert_whole(ledger, told)
    ledger.close()
    counts("writer killed", **told.numbers(there))


@pytest.mark.database
def test_crashing_the_server_loses_nothing_that_was_acknowledged(
    own_postgres: Postgres, keys: Path, counts: Counts
) -> None:
    address = own_postgres.url(own_postgres.create())
    migrate(address)
    told = Told()

    for batches in ROUNDS[:2]:
        write_until_ended(address, keys, told, batches, lambda _: own_postgres.crash())
        own_postgres.start()

        ledger = open_ledger(address, Keyring.load(keys))
        there = assert_whole(ledger, told)
        ledger.close()
    counts("PostgreSQL crashed under a writer", **told.numbers(there))
