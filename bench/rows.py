"""``rows``: does a message cost more when the ledger is full? 10^4, 10^5 and 10^6 messages."""

from __future__ import annotations

import time
from typing import Any

import psycopg

from bench.burst import Documents, Figures, burst
from bench.contestants import Prepared, Running, prepared
from bench.seeding import Template, seed, template
from bench.setting import Setting, screen

SHARES = (0.1, 0.3, 0.6)
"""Of the real messages, per size: few where the ledger is small, so that it stays small."""
TOLERANCE = 0.10
RECORDED = 3
LARGEST_BURST = 20_000
COSTS = ("own_us", "postgres_us")
MESSAGES = "message"
"""The table whose rows are counted."""


def measure(setting: Setting) -> Figures:
    """Cost per message at each size of the ledger, seeded in one database that grows.

    The gateway is not running while its ledger is filled, since it remembers where it was.
    """
    plan = setting.plan
    shares = SHARES[-len(plan.rows) :]
    counts = [max(1, int(plan.rows_messages * share / sum(shares))) for share in shares]
    most = plan.warm * (1 + len(counts)) + RECORDED + sum(counts)
    found: list[Figures] = []
    with setting.documents(most, setting.size("3.6 KB")) as path:
        documents = Documents(path)
        made = prepared(setting.servers, setting.pki)
        pattern = _recorded(setting, made, documents)
        for target, count in zip(plan.rows, counts, strict=True):
            with psycopg.connect(made.database, autocommit=True) as connection:
                began = time.monotonic()
                seeded = _fill(
                    setting, connection, pattern, target, sum(each["seeded"] for each in found)
                )
            took = time.monotonic() - began
            with made.running() as running:
                if running.queue is not None:
                    running.queue.start_emptying()
                burst(setting.servers, running, documents, plan.warm)
                figures = _many(setting, running, documents, count)
            found.append({"rows": target, "seeded": seeded, "seed_seconds": took, **figures})
        setting.servers.forget(made.database)
    return judged(found)


def _recorded(setting: Setting, made: Prepared, documents: Documents) -> Template:
    """What one message leaves behind, after others went before it."""
    with (
        made.running() as running,
        psycopg.connect(made.database, autocommit=True) as connection,
    ):
        burst(setting.servers, running, documents, setting.plan.warm)
        pattern = template(
            connection, lambda: _ignored(burst(setting.servers, running, documents, 1))
        )
    screen.print(f"A message leaves rows in {', '.join(sorted(pattern.rows))}.")
    return pattern


def _ignored(_: Figures) -> None:
    return


def _fill(
    setting: Setting,
    connection: psycopg.Connection[Any],
    pattern: Template,
    target: int,
    already: int,
) -> int:
    row = connection.execute(f"SELECT count(*) FROM {MESSAGES}").fetchone()
    missing = max(0, target - (row[0] if row else 0))
    with setting.step(f"seeding up to {target} messages", missing) as advance:
        seed(connection, pattern, missing, already, advance)
    return missing


def _many(setting: Setting, running: Running, documents: Documents, count: int) -> Figures:
    """So many in bursts; means weighed by their sizes."""
    sums: dict[str, float] = {}
    with setting.step(f"{count} real messages", count) as advance:
        for begun in range(0, count, LARGEST_BURST):
            portion = min(LARGEST_BURST, count - begun)
            figures = burst(setting.servers, running, documents, portion)
            for name in (*COSTS, "rabbitmq_us", "wall_us"):
                sums[name] = sums.get(name, 0) + figures[name] * portion
            sums["p99_ms"] = max(sums.get("p99_ms", 0), figures["p99_ms"])
            advance(portion)
    worst = sums.pop("p99_ms")
    means = {name: total / count for name, total in sums.items()}
    return {"messages": count, "p99_ms": worst, **means}


def judged(found: list[Figures]) -> Figures:
    """Cost in CPU of the gateway and of PostgreSQL together, beside the smallest ledger's."""
    costs = [sum(each[name] for name in COSTS) for each in found]
    spread = max(abs(cost / costs[0] - 1) for cost in costs)
    return {"runs": found, "spread": spread, "goal": TOLERANCE, "met": spread <= TOLERANCE}
