"""``python -m bench.evidence_cost [BATCH]``: what evidence costs per message, beside all of accept.

The same ledger records batches (of 32, or as told) of messages of 10 KB, in turn with a journal
that writes nothing and with the real one. Counted is CPU time: of this process, and of the
backend where there is a server. What accept does before the ledger is measured once, for the
share.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from bench.asking import question
from bench.contestants import parties
from bench.corpus import size
from bench.recording import WARM, Examined, Recorder
from fixtures.parties import now
from fixtures.pki import Pki, make
from fixtures.world import World, lay_out
from gateway.adapters.ledger.ledger import SqlLedger
from gateway.pipeline import admission
from gateway.schemas import Catalogue
from tests.servers.postgres import Postgres, _binaries

BATCH = int(sys.argv[1]) if len(sys.argv) > 1 else 32
BLOCK, BLOCKS = 8, 8
REPEATS = 200
GOAL = 0.05


class Silent:
    """A journal that writes nothing and proves nothing."""

    @contextmanager
    def page(self) -> Iterator[Silent]:
        yield self

    def write(self, connection: sa.Connection, entries: Sequence[Any]) -> list[None]:
        return [None] * len(entries)


@dataclass(frozen=True)
class Spent:
    """CPU microseconds per message.

    Attributes:
        without: Recording, with a silent journal.
        evidence: What the real one adds.
        examine: All of accept before the ledger.
    """

    without: float
    evidence: float
    examine: float

    @property
    def share(self) -> float:
        """Of all of accept, with evidence."""
        return self.evidence / (self.without + self.evidence + self.examine)


def measure(ledger: SqlLedger, examined: Examined) -> Spent:
    """Blocks in turn, with one journal and with the other."""
    real: Any = ledger._journal  # noqa: SLF001
    spent = {"silent": 0.0, "real": 0.0}
    journals = {"silent": Silent(), "real": real}
    recorder, admit, asked = Recorder(ledger), admission(examined.line), question(now())
    for block in range(-1, BLOCKS):
        for name, journal in journals.items():
            ledger._journal = journal  # noqa: SLF001
            batches = [examined.others(BATCH) for _ in range(BLOCK if block >= 0 else WARM)]
            found = recorder.microseconds(batches, admit, asked)
            if block >= 0:
                spent[name] += found / BLOCKS
    ledger._journal = real  # noqa: SLF001
    without, both = spent["silent"], spent["real"]
    return Spent(without, both - without, examined.microseconds(REPEATS))


def main() -> None:
    """Print both ledgers; exit code 1 when evidence costs more than it may."""
    with tempfile.TemporaryDirectory(prefix="gateway-evidence-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        pki = make(folder / "pki")
        (folder / "postgres").mkdir()
        postgres = Postgres(_binaries(), folder / "postgres", durable=True)
        postgres.initialise()
        postgres.start()
        try:
            worlds = {
                "sqlite": lay_out(folder / "sqlite", parties("postbus"), pki=pki),
                "postgresql": lay_out(
                    folder / "pg", parties("postbus"), pki=pki, ledger=postgres.url("postgres")
                ),
            }
            found = {each: _of(world, pki) for each, world in worlds.items()}
        finally:
            postgres.stop()
    for each, spent in found.items():
        print(
            f"{each:10}  evidence {spent.evidence:6.1f} µs of "
            f"{spent.without + spent.evidence + spent.examine:7.1f} µs CPU per message "
            f"(examine {spent.examine:.1f}, record {spent.without:.1f}): {spent.share:.1%}"
        )
    raise SystemExit(any(spent.share > GOAL for spent in found.values()))


def _of(world: World, pki: Pki) -> Spent:
    ledger = world.ledger()
    try:
        catalogue = Catalogue.load()
        claims = size("10 KB", 10_000, catalogue, pki).claims
        return measure(ledger, Examined(world, pki, catalogue, claims))
    finally:
        ledger.close()


if __name__ == "__main__":
    main()
