"""A courier that dies whenever it takes one certain delivery; run with ``-m``.

    python -m tests.fault.killed_courier ADDRESS KEYS DELIVERY

Prints ``died`` before it does, and ends by itself when that delivery is a dead letter.
"""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import timedelta
from pathlib import Path

from gateway.adapters.breaker import Breaker
from gateway.adapters.clock import utc_now
from gateway.adapters.courier import Courier, Pace
from gateway.adapters.keyring import Keyring
from gateway.adapters.ledger.ledger import open_ledger
from gateway.adapters.ledger.writer import Writer
from gateway.adapters.ledger_work import LedgerWork
from gateway.dead_letter import DeadLetterFilter
from gateway.delivery import Answer, Attempted, Conclusion, after
from gateway.message import Channel, Delivery
from tests.conformance.submissions import admitting

HASTE = Pace(
    attempt=timedelta(milliseconds=100),
    margin=timedelta(milliseconds=100),
    sleep=timedelta(milliseconds=50),
)
"""A lease of a fifth of a second, so that the next life finds it run out."""


async def live(address: str, keys: Path, killer: str) -> None:
    """Deliver until the killer is a dead letter, or until it kills."""
    ledger = open_ledger(address, Keyring.load(keys))
    writer = Writer(ledger, admitting(), clock=utc_now)

    async def dispatch(delivery: Delivery) -> Conclusion:
        if delivery.id == killer:
            sys.stdout.write("died\n")
            sys.stdout.flush()
            os._exit(9)
        started = utc_now()
        await asyncio.sleep(0)  # an attempt waits for its endpoint
        return after(
            delivery,
            Attempted(Answer.CONFIRMED),
            started_at=started,
            ended_at=utc_now(),
            jitter=0,
        )

    courier = Courier(
        LedgerWork(writer, ledger),
        dispatch,
        channels=frozenset({Channel.PUSH}),
        breaker=Breaker(),
        now=utc_now,
        pace=HASTE,
    )
    running = asyncio.create_task(courier.run())
    while not await writer.read(ledger.dead_letters, DeadLetterFilter()):
        await asyncio.wait([running], timeout=0.05)
    courier.stop()
    await running
    await writer.close()
    ledger.close()


if __name__ == "__main__":
    asyncio.run(live(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
