"""What is due is found in an index, however many terms run; after an outage others get their turn.

With a million open terms and a hundred thousand overdue: ``python -m bench terms``.
"""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from statistics import median

import pytest
import sqlalchemy as sa

from fixtures.world import SE, SHV
from gateway.adapters.ledger.ledger import SqlLedger
from gateway.adapters.ledger.tables import conversation
from gateway.adapters.ledger.timing import due_now
from gateway.adapters.ledger.writer import Writer
from gateway.adapters.timekeeping import AT_ONCE, catch_up
from gateway.calendar import AMSTERDAM
from tests.conformance.timed import Timed

OPEN = 100_000
DUE = 500
OVERDUE = 2_000
FOUND_WITHIN = 0.010
"""Seconds; the median of so many looks:"""
LOOKS = 15
ACCEPTS_WITHIN = 2.0
"""Seconds, for 99 of 100 messages while the clock makes up for an outage, on a busy machine."""
LARGEST_PORTION = 32 * 1024 * 1024
"""Bytes."""

INDEX = "conversation_next_term"

COPIES = {
    "sqlite": """
        INSERT INTO conversation
               (conversatie, party_a, party_b, last_to_a, last_to_b, stand, next_term)
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :many)
        SELECT printf('%08x-0000-4000-8000-%012x', i % 65521, i), c.party_a, c.party_b,
               c.last_to_a, c.last_to_b, c.stand, c.next_term + i * :step
          FROM conversation c, n WHERE c.conversatie = :pattern
    """,
    "postgresql": """
        INSERT INTO conversation
               (conversatie, party_a, party_b, last_to_a, last_to_b, stand, next_term)
        SELECT lpad(to_hex(i % 65521), 8, '0') || '-0000-4000-8000-' || lpad(to_hex(i), 12, '0'),
               c.party_a, c.party_b, c.last_to_a, c.last_to_b, c.stand,
               c.next_term + i * CAST(:step AS bigint)
          FROM conversation c, generate_series(1, CAST(:many AS int)) AS n(i)
         WHERE c.conversatie = :pattern
    """,
}


def fill(timed: Timed, many: int, step: timedelta) -> datetime:
    """Copy a conversation that waits for an answer so often; each is due a step later.

    Returns:
        When the one that was copied is due.
    """
    timed.collect(timed.say("Saldoverzoek"), confirm=True)
    first = timed.ledger.next_term()
    assert first is not None
    engine = timed.ledger._database.engine
    with timed.ledger._database.writing() as connection:
        pattern = connection.scalar(
            sa.select(conversation.c.conversatie).where(conversation.c.next_term.is_not(None))
        )
        connection.execute(
            sa.text(COPIES[engine.dialect.name]),
            {"many": many, "step": step // timedelta(microseconds=1), "pattern": pattern},
        )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        lite = engine.dialect.name == "sqlite"
        connection.exec_driver_sql("ANALYZE" if lite else "VACUUM ANALYZE")
    return first


def plan_of(ledger: SqlLedger, query: sa.Select[int]) -> str:
    """As the database tells it."""
    engine = ledger._database.engine
    written = query.compile(engine, compile_kwargs={"literal_binds": True})
    how = "EXPLAIN QUERY PLAN" if engine.dialect.name == "sqlite" else "EXPLAIN"
    with ledger._database.reading() as connection:
        return "\n".join(str(row[-1]) for row in connection.exec_driver_sql(f"{how} {written}"))


def spent(work: Callable[[], object]) -> float:
    """Seconds, the median of some looks."""
    times = []
    for _ in range(LOOKS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return median(times)


@pytest.mark.timeout(120)
def test_what_is_due_is_found_in_one_index_among_very_many_terms(
    two_ledgers: tuple[SqlLedger, SqlLedger],
) -> None:
    ledger, _ = two_ledgers
    timed = Timed(ledger)
    now = fill(timed, OPEN, timedelta(seconds=1)) + DUE * timedelta(seconds=1)
    query = due_now(now, AT_ONCE)

    def find() -> int:
        with ledger._database.reading() as connection:
            return len(connection.scalars(query).all())

    assert find() == AT_ONCE
    plan = plan_of(ledger, query)
    assert f"COVERING INDEX {INDEX}" in plan or f"Index Only Scan using {INDEX}" in plan, plan
    assert "SCAN conversation" not in plan
    assert "Seq Scan on conversation" not in plan
    assert "Sort" not in plan
    assert "TEMP B-TREE" not in plan
    assert spent(find) < FOUND_WITHIN
    assert spent(ledger.next_term) < FOUND_WITHIN


@pytest.mark.timeout(240)
async def test_after_an_outage_the_clock_lets_messages_go_first_and_says_everything_once(
    two_ledgers: tuple[SqlLedger, SqlLedger],
    record_property: Callable[[str, object], None],
) -> None:
    ledger, _ = two_ledgers
    timed = Timed(ledger)
    fill(timed, OVERDUE, timedelta(0))
    timed.now = datetime(2026, 4, 1, 12, tzinfo=AMSTERDAM)
    waits: list[float] = []
    writer = Writer(ledger, timed.station, clock=lambda: timed.now)
    try:
        clock = asyncio.create_task(catch_up(writer, ledger, timed.rules, lambda: timed.now))
        while not clock.done():
            submission = timed.written("Kennisgeving", thread=f"nieuw/{len(waits)}")
            began = time.perf_counter()
            await writer.record(submission)
            waits.append(time.perf_counter() - began)
            await asyncio.wait({clock}, timeout=0.02)
        assert (await clock).done >= OVERDUE
    finally:
        await writer.close()

    slowest = sorted(waits)[int(len(waits) * 0.99)]
    record_property("accepted meanwhile", len(waits))
    record_property("p99 of accept, s", round(slowest, 3))
    assert len(waits) >= OVERDUE // AT_ONCE, "one portion held up all others"
    assert slowest < ACCEPTS_WITHIN
    told = Counter((each.soort, each.to) for each in timed.told())
    assert told == {("TermijnVerstreken", party): OVERDUE + 1 for party in (SHV, SE)}


def test_the_memory_that_the_clock_needs_does_not_depend_on_how_much_is_due(
    ledger: SqlLedger,
) -> None:
    timed = Timed(ledger)
    fill(timed, OVERDUE, timedelta(0))
    timed.now = datetime(2026, 4, 1, 12, tzinfo=AMSTERDAM)

    tracemalloc.start()
    try:
        assert ledger.due_terms(timed.rules, timed.now, AT_ONCE) == AT_ONCE
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert most < LARGEST_PORTION
