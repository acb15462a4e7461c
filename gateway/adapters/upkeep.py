"""What processes do now and then, beside their work."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial

from gateway.adapters.ledger.ledger import SqlLedger
from gateway.adapters.ledger.retention import Cursor, Roles, Swept
from gateway.adapters.ledger.writer import Writer
from gateway.errors import Fault
from gateway.routing.course import Courses
from gateway.routing.directory import Directory
from gateway.routing.retention import Retention

log = logging.getLogger(__name__)

FOLLOW_KEYS_EVERY_SECONDS = 30.0
"""After ``gateway sleutels wissel`` every process uses the new key within this time."""

SWEEP_EVERY_SECONDS = 3_600.0
SWEPT_AT_ONCE = 200
"""Messages in one transaction of a sweep; others wait milliseconds for it."""
SWEEP_PAUSE_SECONDS = 0.2
"""Between two batches."""

Batch = Callable[[], Counter[tuple[str, str]]]


async def follow_keys(writer: Writer, ledger: SqlLedger) -> None:
    """Take over the keys that an operator put in use; say so when one is not here."""
    while True:
        await asyncio.sleep(FOLLOW_KEYS_EVERY_SECONDS)
        try:
            await writer.run(ledger.follow_keys)
        except Fault as fault:
            log.warning("keys.problem", extra={"problem": str(fault)})
        except Exception as bug:  # noqa: BLE001 - what stops this must not stop the doors
            log.error("keys.stumbled", extra={"fault": type(bug).__name__})  # noqa: TRY400


async def sweep(
    writer: Writer,
    ledger: SqlLedger,
    retention: Retention,
    courses: Courses,
    clock: Callable[[], datetime],
) -> None:
    """Once in an hour let go what was kept long enough; roles klok and houder."""
    while True:
        gone: Counter[tuple[str, str]] = Counter()
        try:
            for batch in sweep_batches(ledger, retention, courses, clock):
                gone += await writer.run(batch)
                await asyncio.sleep(SWEEP_PAUSE_SECONDS)
        except Fault as fault:
            log.warning("retention.broke_off", extra={"problem": str(fault)})
        except Exception as bug:  # noqa: BLE001 - what stops this must not stop the doors
            log.error("retention.stumbled", extra={"fault": type(bug).__name__})  # noqa: TRY400
        if gone:
            log.info("retention.swept", extra={"count": gone.total()})
        await asyncio.sleep(SWEEP_EVERY_SECONDS)


def roles_in(directory: Directory) -> Roles:
    """The roles of each party."""
    return {oin: party.rollen for oin, party in directory.parties.items()}


def sweep_batches(
    ledger: SqlLedger,
    retention: Retention,
    courses: Courses,
    clock: Callable[[], datetime],
    *,
    trial: bool = False,
) -> Iterator[Batch]:
    """The batches of one sweep, to be called in turn; each says what it let go."""

    def roles() -> Roles:
        return roles_in(courses.directory())

    for step in (partial(ledger.sweep, rules=courses), ledger.forget):
        course = _Course(step, retention, roles, clock, trial=trial)
        while not course.done:
            yield course.go_on
    left = [SWEPT_AT_ONCE]

    def rest() -> Counter[tuple[str, str]]:
        gone = ledger.tidy(retention, now=clock(), limit=SWEPT_AT_ONCE, trial=trial)
        left[0] = 0 if trial else max(gone.values(), default=0)
        return gone

    while left[0] == SWEPT_AT_ONCE:
        yield rest


class _Course:
    """One walk along the messages, batch after batch."""

    def __init__(
        self,
        step: Callable[..., Swept],
        retention: Retention,
        roles: Callable[[], Roles],
        clock: Callable[[], datetime],
        *,
        trial: bool,
    ) -> None:
        self._go = partial(step, retention, limit=SWEPT_AT_ONCE, trial=trial)
        self._roles = roles
        self._clock = clock
        self._after: Cursor | None = None
        self.done = False

    def go_on(self) -> Counter[tuple[str, str]]:
        swept = self._go(self._roles(), now=self._clock(), after=self._after)
        self._after = swept.after
        self.done = swept.after is None
        return swept.counts
