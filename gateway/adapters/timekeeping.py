"""Role klok: what happens in conversations by itself, in small portions, for as long as it runs."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import NamedTuple

from gateway.adapters import certificates
from gateway.adapters.keyring import Keyring
from gateway.adapters.ledger.ledger import SqlLedger
from gateway.adapters.ledger.timing import RulesFailed
from gateway.adapters.ledger.writer import Writer
from gateway.calendar import AMSTERDAM
from gateway.errors import Fault, LedgerUnavailable, Overloaded
from gateway.routing import table, terms
from gateway.routing.course import Courses
from gateway.routing.directory import Directory, successor
from gateway.routing.own import Voice

log = logging.getLogger(__name__)

AT_ONCE = 50
"""So many conversations in one transaction: others must get their turn in between."""

LOOKS_EVERY_SECONDS = 1.0
BREATH_SECONDS = 0.05
"""Between two full portions: after an outage much is due, and messages go first."""


def courses_of(keyring: Keyring, directory: Callable[[], Directory]) -> Courses:
    """The rules of the conversation, with the voice of this gateway.

    Raises:
        Fault: the table or the terms cannot be read.
    """
    newest = certificates.read(certificates.pem(keyring.signing.rsa[0].certificate))
    voice = Voice(keyring.signing.oin, newest.fingerprint, lambda: str(uuid.uuid4()))
    return Courses(table.read(), terms.read(), voice, directory)


async def keep_time(
    writer: Writer, ledger: SqlLedger, courses: Courses, clock: Callable[[], datetime]
) -> None:
    """Do what is due, until it is cancelled. Many processes may."""
    while True:
        try:
            await catch_up(writer, ledger, courses, clock)
        except Fault as fault:
            log.warning("clock.waits", extra={"fault": type(fault).__name__})
        except Exception as bug:  # noqa: BLE001 - what stops the clock must not stop the doors
            log.error("clock.stumbled", extra={"fault": type(bug).__name__})  # noqa: TRY400
        await asyncio.sleep(LOOKS_EVERY_SECONDS)


class Caught(NamedTuple):
    """What a look came to.

    Attributes:
        done: In how many conversations and deliveries something was looked at.
        passed: How many were left for the next look, since our rules failed on them; mergers too.
    """

    done: int
    passed: int


async def catch_up(
    writer: Writer, ledger: SqlLedger, courses: Courses, clock: Callable[[], datetime]
) -> Caught:
    """Do all that is due now. What our rules fail on holds up nothing else; mergers come last.

    Raises:
        Fault: the ledger did not answer; the next time goes on.
    """
    done = passed = 0
    for work in (ledger.follow, ledger.due_terms, ledger.notices):
        caught = await _worked_off(writer, partial(work, courses), clock)
        done, passed = done + caught.done, passed + caught.passed
    moved = await _succeed(writer, ledger, courses.directory(), clock)
    return Caught(done + moved.done, passed + moved.passed)


async def _worked_off(
    writer: Writer, portion: Callable[[datetime, int, int], int], clock: Callable[[], datetime]
) -> Caught:
    """Do portions of one kind of work until nothing is left but what cannot be done.

    Where a portion fails, what was in it is done one by one.

    Args:
        portion: Does so many that are due, after the first that were passed over; says how many.
    """
    done = passed = alone = 0
    while True:
        size = 1 if alone else AT_ONCE
        alone = max(alone - 1, 0)
        try:
            found = await writer.run(portion, clock(), size, passed)
        except (LedgerUnavailable, Overloaded):
            raise
        except Exception as bug:  # noqa: BLE001 - the rules of one conversation must not stop all
            if size == 1:
                place = bug.conversatie if isinstance(bug, RulesFailed) else ""
                told = {"fault": type(bug.__cause__ or bug).__name__, "place": place}
                log.error("clock.passed_over", extra=told)  # noqa: TRY400
                passed += 1
            else:
                alone = AT_ONCE
        else:
            done += found
            if found < size:
                return Caught(done, passed)
        await asyncio.sleep(BREATH_SECONDS)


async def _succeed(
    writer: Writer, ledger: SqlLedger, directory: Directory, clock: Callable[[], datetime]
) -> Caught:
    """Move what belongs to parties that merged into another by now."""
    count = failed = 0
    today = clock().astimezone(AMSTERDAM).date()
    for each in directory.successions:
        to = directory.parties.get(successor(each.van, today, directory))
        if each.op > today or to is None:
            continue
        move = partial(ledger.succeed, each.van, to.oin, to.channel, limit=AT_ONCE)
        after = 0
        try:
            while after := await writer.run(partial(move, at=clock(), after=after)):
                count += 1
                await asyncio.sleep(BREATH_SECONDS)
        except (LedgerUnavailable, Overloaded):
            raise
        except Exception as bug:  # noqa: BLE001 - one merger must not hold up the others
            told = {"fault": type(bug).__name__, "oin": each.van}
            log.error("clock.merger_passed_over", extra=told)  # noqa: TRY400
            failed += 1
    return Caught(count, failed)
