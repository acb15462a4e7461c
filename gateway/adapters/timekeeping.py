"""Role klok: what happens in conversations by itself, in small portions, for as long as it runs."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable
from datetime import datetime

from gateway.adapters import certificates
from gateway.adapters.keyring import Keyring
from gateway.adapters.ledger.ledger import SqlLedger
from gateway.adapters.ledger.writer import Writer
from gateway.errors import Fault
from gateway.routing import table, terms
from gateway.routing.course import Courses
from gateway.routing.directory import Directory
from gateway.routing.own import Voice

log = logging.getLogger(__name__)

AT_ONCE = 200
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
        await asyncio.sleep(LOOKS_EVERY_SECONDS)


async def catch_up(
    writer: Writer, ledger: SqlLedger, courses: Courses, clock: Callable[[], datetime]
) -> int:
    """Do all that is due now.

    Returns:
        In how many conversations and deliveries something was looked at.

    Raises:
        Fault: the ledger did not answer; the next time goes on from there.
    """
    count = 0
    for work in (ledger.follow, ledger.due_terms, ledger.notices):
        while done := await writer.run(work, courses, clock(), AT_ONCE):
            count += done
            if done < AT_ONCE:
                break
            await asyncio.sleep(BREATH_SECONDS)
    return count
