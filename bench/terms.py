"""``terms``: what does the clock cost with a million open terms, and after an outage?

A ledger is filled with conversations in which a question waits for its answer. Some are long
overdue, as after an outage. Then: how long does it take to find what is due, by which plan; and
how long do new messages wait while the clock makes up for the outage?
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import islice
from statistics import median

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from bench import asking
from bench.burst import Figures
from bench.contestants import parties
from bench.recording import Examined
from bench.setting import Setting
from fixtures.parties import fresh
from fixtures.world import World, lay_out
from gateway.adapters.ledger.ledger import SqlLedger
from gateway.adapters.ledger.tables import conversation, message
from gateway.adapters.ledger.timing import due_now
from gateway.adapters.ledger.writer import Writer
from gateway.adapters.timekeeping import AT_ONCE, catch_up
from gateway.message import Course, Submission
from gateway.pipeline import admission

GOAL_MS = 10.0
OPEN_DAYS = 6
"""Questions of the last days: nothing of them is due yet (the shortest reminder is after 7)."""
OUTAGE = timedelta(days=60)
INSTANTS = 100
"""So many different instants at which the questions were asked."""
LOOKS = 200
EVERY_SECONDS = 0.1
"""A new message comes this often while the clock is busy."""
BEFORE = 20
MOST_NEW = 5_000


def measure(setting: Setting) -> Figures:
    """Both ledgers."""
    database = setting.servers.database(with_table=False)
    worlds = {
        "SQLite": lay_out(setting.folder / "terms-sqlite", parties("postbus"), pki=setting.pki),
        "PostgreSQL": lay_out(
            setting.folder / "terms-postgres",
            parties("postbus"),
            pki=setting.pki,
            ledger=database,
        ),
    }
    found: Figures = {}
    for name, world in worlds.items():
        ledger = world.ledger()
        try:
            with setting.step(f"{setting.plan.terms} terms, {name}", setting.plan.terms) as advance:
                _fill(ledger, setting.plan.terms, setting.plan.overdue, advance)
            sought = {"open": setting.plan.terms, **_search(ledger)}
            with setting.step(f"after an outage, {name}", 1):
                found[name] = {**sought, "outage": _outage(setting, world, ledger)}
        finally:
            ledger.close()
    setting.servers.forget(database)
    return found


def _fill(ledger: SqlLedger, terms: int, overdue: int, advance: Callable[[int], None]) -> None:
    at, database = datetime.now(UTC), ledger._database  # noqa: SLF001
    asking.opened(database, (fresh() for _ in range(overdue)), asking.question(at - OUTAGE))
    advance(overdue)
    left = terms - overdue
    for number in range(INSTANTS):
        asked = asking.question(at - number * timedelta(days=OPEN_DAYS) / INSTANTS)
        count = left // INSTANTS + (number < left % INSTANTS)
        asking.opened(database, (fresh() for _ in range(count)), asked)
        advance(count)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE" if _is_postgres(ledger) else "ANALYZE")


def _search(ledger: SqlLedger) -> Figures:
    """How long it takes to find what is due, and the next moment."""
    now = datetime.now(UTC)
    before = now - 2 * OUTAGE
    database = ledger._database  # noqa: SLF001

    def look(at: datetime) -> int:
        with database.reading() as connection:
            return len(connection.scalars(due_now(at, AT_ONCE)).all())

    times = {
        "due_ms": _milliseconds(lambda: look(now)),
        "none_due_ms": _milliseconds(lambda: look(before)),
        "next_ms": _milliseconds(ledger.next_term),
    }
    worst = max(each["p50"] for each in times.values())
    return {
        "found": look(now),
        **times,
        "goal_ms": GOAL_MS,
        "met": worst < GOAL_MS,
        "plan": _plan(ledger, now),
    }


def _milliseconds(work: Callable[[], object]) -> dict[str, float]:
    spent = []
    for _ in range(LOOKS):
        began = time.perf_counter()
        work()
        spent.append((time.perf_counter() - began) * 1000)
    return _spread(spent)


def _spread(spent: list[float]) -> dict[str, float]:
    ordered = sorted(spent)
    return {
        "p50": median(ordered),
        "p99": ordered[int(len(ordered) * 0.99)],
        "max": ordered[-1],
    }


def _plan(ledger: SqlLedger, now: datetime) -> list[str]:
    """How the database says that it finds what is due."""
    with ledger._database.reading() as connection:  # noqa: SLF001
        query = due_now(now, AT_ONCE).compile(
            dialect=connection.dialect, compile_kwargs={"literal_binds": True}
        )
        if _is_postgres(ledger):
            rows = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, COSTS OFF, BUFFERS) {query}")
            return [str(row[0]) for row in rows]
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}")
        return [str(row[3]) for row in rows]


def _is_postgres(ledger: SqlLedger) -> bool:
    return ledger._database.engine.dialect.name == postgresql.dialect.name  # noqa: SLF001


def _outage(setting: Setting, world: World, ledger: SqlLedger) -> Figures:
    """The clock starts again: what is overdue, while new messages come in."""
    claims = setting.size("3.6 KB").claims
    examined = Examined(world, setting.pki, setting.catalogue, claims)
    new = examined.others(MOST_NEW)
    numbers = [each.message.header.conversatie for each in new]
    asked: Course = asking.question(datetime.now(UTC))
    asking.opened(ledger._database, numbers, asked)  # noqa: SLF001
    return asyncio.run(_made_up_for(ledger, examined, new, setting.plan.overdue))


async def _made_up_for(
    ledger: SqlLedger, examined: Examined, new: list[Submission], overdue: int
) -> Figures:
    line, coming = examined.line, iter(new)
    writer = Writer(ledger, admission(line), clock=line.clock)
    try:
        quiet = [await _wait_for(writer, each) for each in islice(coming, BEFORE)]
        began = time.perf_counter()
        clock = asyncio.create_task(catch_up(writer, ledger, line.courses, line.clock))
        waits = []
        for each in coming:
            waits.append(await _wait_for(writer, each))
            await asyncio.wait({clock}, timeout=EVERY_SECONDS)
            if clock.done():
                break
        await clock
        took = time.perf_counter() - began
    finally:
        await writer.close()
    fired = _fired(ledger)
    return {
        **fired,
        "overdue": overdue,
        "met": fired["conversations"] == overdue and fired["each_once"] and not fired["left"],
        "seconds": took,
        "conversations_per_second": fired["conversations"] / took,
        "quiet_ms": _spread(quiet),
        "busy_ms": _spread(waits),
    }


async def _wait_for(writer: Writer, submission: Submission) -> float:
    began = time.perf_counter()
    await writer.record(submission)
    return (time.perf_counter() - began) * 1000


def _fired(ledger: SqlLedger) -> Figures:
    """What the gateway said, and whether it said each thing once to each party."""
    own = ledger._keyring.signing.oin  # noqa: SLF001
    m = message.c
    said = sa.select(m.conversatie, m.ontvanger, m.soort).where(m.afzender == own)
    with ledger._database.reading() as connection:  # noqa: SLF001
        count = connection.scalar(sa.select(sa.func.count()).select_from(said.subquery())) or 0
        once = said.distinct().subquery()
        different = connection.scalar(sa.select(sa.func.count()).select_from(once)) or 0
        spoken = sa.select(sa.func.count(m.conversatie.distinct())).where(m.afzender == own)
        conversations = connection.scalar(spoken) or 0
        late = sa.select(sa.func.count()).where(conversation.c.next_term <= datetime.now(UTC))
        left = connection.scalar(late) or 0
    return {
        "conversations": conversations,
        "messages": count,
        "each_once": count == different,
        "left": left,
    }
