"""``python -m bench.evidence_cost [BATCH]``: what evidence costs per message, beside all of accept.

The same ledger records batches (of 32, or as told) of messages of 10 KB, in turn with a journal
that writes
nothing and with the real one. Counted is CPU time: of this process, and of the backend where
there is a server. What accept does before the ledger is measured once, for the share.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from bench.corpus import signed, size
from fixtures.parties import fresh
from fixtures.pki import Pki, make
from fixtures.world import World, lay_out, the_usual
from gateway.adapters.ledger.ledger import SqlLedger
from gateway.adapters.register import directory_of
from gateway.adapters.signatures import Signatures
from gateway.message import Admitted, Channel, Dialect, Door, Received, Submission, Talk, as_bytes
from gateway.record import business_digest
from gateway.replies import receipt
from gateway.schemas import Catalogue, judge, translate, validate
from gateway.schemas.persons import persons_in
from gateway.verify import verify
from tests.servers.postgres import Postgres, _binaries

BATCH = int(sys.argv[1]) if len(sys.argv) > 1 else 32
BLOCK, BLOCKS, WARM = 8, 8, 3
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


class Examined:
    """One message that went through the line, under as many numbers as one likes."""

    def __init__(self, world: World, pki: Pki) -> None:
        self._catalogue = Catalogue.load()
        ledger = world.ledger()
        self._directory = directory_of(*ledger.directory())
        ledger.close()
        claims = size("10 KB", 10_000, self._catalogue, pki).claims
        self._received = Received(
            Door.REST_XML, Dialect.XML, signed(self._catalogue, pki, claims), datetime.now(UTC)
        )
        self._check = Signatures()
        self._persons = persons_in(self._catalogue)
        self.first = self.examine()
        self.oin = world.settings.oin

    def examine(self) -> Submission:
        """As the line does it."""
        verified = verify(self._received, self._directory, self._check)
        message = translate(validate(verified, self._catalogue), self._catalogue)
        message = judge(message, self._received.at.date(), self._catalogue)
        return Submission(
            message=message,
            digest=business_digest(message, b"k" * 32),
            canonical=as_bytes(message.document),
            receipt_id=fresh(),
            delivery_id=fresh(),
            persons=self._persons[message.kind](message.document),
        )

    def another(self) -> Submission:
        """The same content under a number of its own."""
        header = replace(self.first.message.header, referentienummer=fresh(), conversatie=fresh())
        message = replace(self.first.message, header=header)
        return replace(self.first, message=message, receipt_id=fresh(), delivery_id=fresh())

    def admit(self, submission: Submission, talk: Talk) -> Admitted:
        told = receipt(submission, channel=Channel.POSTBUS, gateway=self.oin, at=self._received.at)
        return Admitted(
            submission=submission,
            ontvanger=submission.message.header.ontvanger,
            channel=Channel.POSTBUS,
            awaits_confirmation=True,
            receipt=as_bytes(told),
        )


def measure(ledger: SqlLedger, examined: Examined) -> Spent:
    """Blocks in turn, so that a table that grows and a machine that is busy cost both alike."""
    real: Any = ledger._journal  # noqa: SLF001
    spent = {"silent": 0.0, "real": 0.0}
    journals = {"silent": Silent(), "real": real}
    backend = _backend(ledger)
    for block in range(-1, BLOCKS):
        for name, journal in journals.items():
            ledger._journal = journal  # noqa: SLF001
            batches = [
                [examined.another() for _ in range(BATCH)]
                for _ in range(BLOCK if block >= 0 else WARM)
            ]
            began = _cpu(backend)
            for batch in batches:
                ledger.record(batch, examined.admit, datetime.now(UTC))
            if block >= 0:
                spent[name] += _cpu(backend) - began
    ledger._journal = real  # noqa: SLF001
    per_message = {name: each / (BLOCKS * BLOCK * BATCH) / 1000 for name, each in spent.items()}
    return Spent(
        per_message["silent"], per_message["real"] - per_message["silent"], _examine(examined)
    )


def _examine(examined: Examined) -> float:
    for _ in range(WARM):
        examined.examine()
    began = time.process_time_ns()
    for _ in range(REPEATS):
        examined.examine()
    return (time.process_time_ns() - began) / REPEATS / 1000


def _backend(ledger: SqlLedger) -> int | None:
    """The server's process for the one connection that a single thread takes again and again."""
    with ledger._database.writing() as connection:  # noqa: SLF001
        if connection.dialect.name != "postgresql":
            return None
        return int(connection.scalar(sa.text("SELECT pg_backend_pid()")) or 0)


def _cpu(backend: int | None) -> int:
    """Nanoseconds on a processor until now, of this process and of its backend."""
    own = time.process_time_ns()
    if backend is None:
        return own
    return own + int(Path(f"/proc/{backend}/schedstat").read_text().split()[0])


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
                "sqlite": lay_out(folder / "sqlite", the_usual(), pki=pki),
                "postgresql": lay_out(
                    folder / "pg", the_usual(), pki=pki, ledger=postgres.url("postgres")
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
        return measure(ledger, Examined(world, pki))
    finally:
        ledger.close()


if __name__ == "__main__":
    main()
