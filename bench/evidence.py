"""``evidence``: what does proving cost per message, beside all of accept?

The same ledger records batches in turn with a journal that writes nothing and with the real one.
Counted is CPU time: of this process, and of the backend where there is a server. What accept does
before the ledger is measured too, for the share; HTTP is left out, so of a whole accept it is less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any

import sqlalchemy as sa

from bench.asking import question
from bench.burst import Figures
from bench.contestants import parties
from bench.recording import WARM, Examined, Recorder
from bench.setting import Setting
from fixtures.parties import now
from fixtures.world import World, lay_out
from gateway.pipeline import admission

SIZE = "10 KB"
GOAL = 0.05
BATCH, BLOCK, EXAMINED = 32, 8, 50
REAL, SILENT = "real", "silent"
EXAMINE = "examine"


class Silent:
    """A journal that writes nothing and proves nothing."""

    @contextmanager
    def page(self) -> Iterator[Silent]:
        yield self

    def write(self, connection: sa.Connection, entries: Sequence[Any]) -> list[None]:
        return [None] * len(entries)


def measure(setting: Setting) -> Figures:
    """Both ledgers."""
    database = setting.servers.database(with_table=False)
    worlds = {
        "SQLite": lay_out(setting.folder / "prove-sqlite", parties("postbus"), pki=setting.pki),
        "PostgreSQL": lay_out(
            setting.folder / "prove-postgres",
            parties("postbus"),
            pki=setting.pki,
            ledger=database,
        ),
    }
    with setting.step("evidence", len(worlds) * setting.plan.blocks) as advance:
        found = {name: _of(setting, world, advance) for name, world in worlds.items()}
    setting.servers.forget(database)
    return found


def _of(setting: Setting, world: World, advance: Callable[[int], None]) -> Figures:
    examined = Examined(world, setting.pki, setting.catalogue, setting.size(SIZE).claims)
    asked = question(now())
    admit = admission(examined.line)
    blocks: list[dict[str, float]] = []
    ledger = world.ledger()
    real: Any = ledger._journal  # noqa: SLF001 - there is no other way to leave it out
    journals: dict[str, Any] = {REAL: real, SILENT: Silent()}
    try:
        recorder = Recorder(ledger)
        for number in range(-1, setting.plan.blocks):
            batches = BLOCK if number >= 0 else WARM
            spent: dict[str, float] = {}
            for name in sorted(journals, reverse=number % 2 == 1):
                ledger._journal = journals[name]  # noqa: SLF001
                taken = [examined.others(BATCH) for _ in range(batches)]
                spent[name] = recorder.microseconds(taken, admit, asked)
            if number >= 0:
                blocks.append({**spent, EXAMINE: examined.microseconds(EXAMINED)})
                advance(1)
    finally:
        ledger._journal = real  # noqa: SLF001
        ledger.close()
    return judged(blocks)


def judged(blocks: list[dict[str, float]]) -> Figures:
    """Medians, and the median share of evidence in examining and recording."""
    shares = [(one[REAL] - one[SILENT]) / (one[EXAMINE] + one[REAL]) for one in blocks]
    share = median(shares)
    return {
        "examine_us": median(one[EXAMINE] for one in blocks),
        "record_us": median(one[REAL] for one in blocks),
        "evidence_us": median(one[REAL] - one[SILENT] for one in blocks),
        "share": share,
        "goal": GOAL,
        "met": share < GOAL,
    }
