"""What a part of recording costs: one message, examined by the line, recorded very often.

Counted is CPU time: of this process, and of the backend where there is a server. Whoever
compares records in turn with and without the part, so that a table that grows and a machine
that is busy cost both alike.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from bench import asking
from bench.corpus import signed
from fixtures.parties import fresh
from fixtures.pki import Pki
from fixtures.world import World
from gateway.adapters.keyring import Keyring
from gateway.adapters.ledger.ledger import SqlLedger
from gateway.adapters.register import directory_of
from gateway.adapters.signatures import Seal, Signatures
from gateway.adapters.timekeeping import courses_of
from gateway.errors import GatewayError
from gateway.message import Course, Dialect, Door, Receipt, Received, Submission
from gateway.pipeline import Line, examine
from gateway.record import Admit
from gateway.schemas import Catalogue
from gateway.schemas.persons import persons_in

WARM = 3


class Examined:
    """One message that went through the line, under as many numbers as one likes."""

    def __init__(self, world: World, pki: Pki, catalogue: Catalogue, claims: int) -> None:
        ledger = world.ledger()
        directory = directory_of(*ledger.directory())
        ledger.close()
        keyring = Keyring.load(world.settings.keys)
        self.line = Line(
            gateway=world.settings.oin,
            url=world.settings.url,
            catalogue=catalogue,
            persons=persons_in(catalogue),
            check=Signatures(),
            sealer=Seal(keyring.signing),
            digest_key=keyring.digest,
            skew=world.settings.skew,
            directory=lambda: directory,
            courses=courses_of(keyring, lambda: directory),
            clock=lambda: datetime.now(UTC),
            draw=fresh,
            jitter=lambda: 0.0,
            quota=lambda _: None,
            run=_run,
            record=_record,
            channels={},
        )
        self._received = Received(
            Door.REST_XML, Dialect.XML, signed(catalogue, pki, claims), datetime.now(UTC)
        )
        self._first = self.examine()

    def examine(self) -> Submission:
        """All of accept before the ledger."""
        return examine(self._received, self.line)

    def others(self, count: int) -> list[Submission]:
        """The same content under so many numbers, each in a conversation of its own."""
        return [self._other(fresh()) for _ in range(count)]

    def _other(self, conversation: str) -> Submission:
        header = replace(
            self._first.message.header,
            referentienummer=fresh(),
            conversatie=conversation,
            cross=conversation,
        )
        message = replace(self._first.message, header=header)
        return replace(self._first, message=message, receipt_id=fresh(), delivery_id=fresh())

    def microseconds(self, repeats: int) -> float:
        """CPU time of all of accept before the ledger."""
        for _ in range(WARM):
            self.examine()
        began = time.process_time_ns()
        for _ in range(repeats):
            self.examine()
        return (time.process_time_ns() - began) / repeats / 1000


async def _run(work: Callable[[], Submission], _: int) -> Submission:
    return work()


def _record(_: Submission) -> Awaitable[Receipt]:
    raise NotImplementedError  # what is examined here is recorded by who measures


class Recorder:
    """Records batches in one ledger from one thread, and counts."""

    def __init__(self, ledger: SqlLedger) -> None:
        self._ledger = ledger
        self._database = ledger._database  # noqa: SLF001
        with self._database.writing() as connection:
            self._backend = (
                int(connection.scalar(sa.text("SELECT pg_backend_pid()")) or 0)
                if connection.dialect.name == "postgresql"
                else None
            )

    def microseconds(
        self, batches: Sequence[Sequence[Submission]], admit: Admit, course: Course | None
    ) -> float:
        """CPU time per message.

        Args:
            course: Where the conversations of these stand, which are opened before.

        Raises:
            GatewayError: one of them was refused.
        """
        numbers = [each.message.header.conversatie for batch in batches for each in batch]
        asking.opened(self._database, numbers, course)
        began = self._cpu()
        outcomes = [self._ledger.record(batch, admit, datetime.now(UTC)) for batch in batches]
        spent = self._cpu() - began
        for each in (one for batch in outcomes for one in batch):
            if isinstance(each, GatewayError):
                raise each
        return spent / len(numbers) / 1000

    def _cpu(self) -> int:
        """Nanoseconds on a processor until now, of this process and of its backend."""
        own = time.process_time_ns()
        if self._backend is None:
            return own
        schedule = Path(f"/proc/{self._backend}/schedstat").read_text(encoding="ascii")
        return own + int(schedule.split()[0])
