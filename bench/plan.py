"""How much is measured: the whole bench, or with BENCH_QUICK=1 a short look."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace


@dataclass(frozen=True)
class Plan:
    """Field ``x`` can be set with ``BENCH_X``.

    Attributes:
        messages: Per measured burst of the race.
        warm: Messages before the first measured burst of each contestant.
        rounds: How often each contestant runs; medians are told.
        seconds: Length of the run at half load.
        memory_seconds: Length of the run that watches resident memory.
        rows: Sizes of the ledger, in messages.
        rows_messages: Real messages over all those sizes together.
        starts: How often the start is timed.
        repeats: Single runs per station.
        blocks: How often what is compared takes its turn.
        terms: Open terms in the ledger.
        overdue: Terms that are overdue when a gateway starts again.
    """

    messages: int = 2_000
    warm: int = 3_000
    rounds: int = 2
    seconds: int = 30
    memory_seconds: int = 120
    rows: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    rows_messages: int = 200_000
    starts: int = 7
    repeats: int = 300
    blocks: int = 16
    terms: int = 1_000_000
    overdue: int = 100_000
    quick: bool = False


QUICK = Plan(
    messages=500,
    warm=600,
    rounds=1,
    seconds=8,
    memory_seconds=20,
    rows=(1_000, 10_000),
    rows_messages=2_000,
    starts=3,
    repeats=60,
    blocks=4,
    terms=20_000,
    overdue=1_000,
    quick=True,
)


def plan(environment: Mapping[str, str] = os.environ) -> Plan:
    """What the environment asks for.

    Raises:
        ValueError: a variable holds no number.
    """
    chosen = QUICK if environment.get("BENCH_QUICK") == "1" else Plan()
    given: dict[str, int | tuple[int, ...]] = {}
    for field in fields(Plan):
        text = environment.get(f"BENCH_{field.name.upper()}")
        if text and field.name != "quick":
            parts = [int(part) for part in text.split(",")]
            given[field.name] = tuple(parts) if field.name == "rows" else parts[0]
    return replace(chosen, **given)  # type: ignore[arg-type]
