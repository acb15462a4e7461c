"""Role *houder*: brings the broker's dead letters into the ledger, and loses none.

A letter is acknowledged only after the ledger has committed it. Nothing that lies there
may stop the keeper: what cannot be read is kept as garbage with its raw bytes.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

from gateway.adapters.rabbitmq.connection import BrokerConnection
from gateway.adapters.rabbitmq.consumer import Letter
from gateway.adapters.rabbitmq.deaths import newest_death
from gateway.adapters.rabbitmq.events import UUID
from gateway.adapters.rabbitmq.topology import GESTRAND, INZENDING, TRIAL, TRIAL_TYPE
from gateway.dead_letter import Stranding
from gateway.delivery import Reason
from gateway.errors import Fault
from gateway.message import Oin

log = logging.getLogger(__name__)

LARGEST_GARBAGE_BYTES = 64 * 1024
"""Of a letter that the ledger cannot place so many first bytes are kept."""

REASONS = {
    "rejected": Reason.GEWEIGERD,
    "delivery_limit": Reason.AFLEVERLIMIET,
    "maxlen": Reason.VERLOPEN,
    "expired": Reason.VERLOPEN,
}
"""What the broker's category means for a delivery that lay in a party's queue."""

_PARTY_QUEUE = re.compile(r"partij\.[0-9]{20}")


def stranding(letter: Letter, at: datetime) -> Stranding | None:
    """What a dead letter means for the ledger; None for the gateway's own trials.

    Only the broker's newest ``x-death`` is believed. A delivery is recognised only when
    it died in a party's queue: nobody but the gateway publishes there.
    """
    death = newest_death(letter.headers)
    if death is None:
        own = letter.properties.message_type == TRIAL_TYPE
        return None if own else _garbage(letter, Reason.ONLEESBAAR, "zonder-reden", at)
    if death.queue.startswith(TRIAL):
        return None
    if death.queue == INZENDING:
        crashed = death.reason == "delivery_limit"
        reason = Reason.AFLEVERLIMIET if crashed else Reason.ONLEESBAAR
        return _garbage(letter, reason, "inzending", at)
    delivery_id = letter.properties.message_id or ""
    if (
        death.reason in REASONS
        and _PARTY_QUEUE.fullmatch(death.queue)
        and UUID.fullmatch(delivery_id)
    ):
        note = death.reason.replace("_", "-")
        recipient, reason = Oin(death.queue.removeprefix("partij.")), REASONS[death.reason]
        # it may be the last copy: after a restore the ledger may not know this delivery
        return Stranding(delivery_id, reason, note, at, _first_bytes(letter), recipient)
    return _garbage(letter, Reason.ONLEESBAAR, "onbekend", at)


def _as_garbage(letter: Letter, at: datetime) -> Stranding | None:
    return _garbage(letter, Reason.ONLEESBAAR, "niet-te-boeken", at)


def _garbage(letter: Letter, reason: Reason, note: str, at: datetime) -> Stranding:
    return Stranding(None, reason, note, at, _first_bytes(letter))


def _first_bytes(letter: Letter) -> bytes:
    return letter.body[:LARGEST_GARBAGE_BYTES]


Read = Callable[[Letter, datetime], Stranding | None]
"""How a letter is read; see ``stranding``."""


class Keeper:
    """Consumes ``gateway.gestrand`` in batches.

    Args:
        connection: Gets subscribed; start it afterwards.
        strand: Makes dead letters of these in one transaction; raises Fault when the
            ledger does not answer.
        batch: At most so many in one transaction, and in hand.
        hold: While the ledger is down letters are held; after so long they go back.
        pause: Longest wait between two tries.
    """

    def __init__(
        self,
        connection: BrokerConnection,
        strand: Callable[[Sequence[Stranding]], Awaitable[None]],
        *,
        clock: Callable[[], datetime],
        batch: int = 50,
        hold: timedelta = timedelta(minutes=20),
        pause: timedelta = timedelta(seconds=5),
    ) -> None:
        self._connection = connection
        self._strand = strand
        self._clock = clock
        self._batch = batch
        self._hold = hold.total_seconds()
        self._pause = pause.total_seconds()
        self._inbox: asyncio.Queue[Letter] = asyncio.Queue()
        connection.subscribe(GESTRAND, prefetch=batch, receive=self._inbox.put_nowait)

    async def run(self) -> None:
        """Keep until cancelled."""
        while True:
            letters = [await self._inbox.get()]
            while not self._inbox.empty() and len(letters) < self._batch:
                letters.append(self._inbox.get_nowait())
            await self._keep_somehow(letters)

    async def _keep_somehow(self, letters: Sequence[Letter]) -> None:
        """Together; else each by itself; else as garbage; else it stays where it is."""
        try:
            await self._keep(letters, stranding)
        except Exception as error:  # noqa: BLE001 - the edge: one bad letter stops nothing
            log.error("keeper.batch-failed", extra={"error": type(error).__name__})  # noqa: TRY400
            for letter in letters:
                await self._keep_alone(letter)

    async def _keep_alone(self, letter: Letter) -> None:
        for read in (stranding, _as_garbage):
            try:
                await self._keep([letter], read)
            except Exception as error:  # noqa: BLE001 - as above
                # after the last try it stays unacknowledged at the broker: not lost
                log.error("keeper.letter-failed", extra={"error": type(error).__name__})  # noqa: TRY400
            else:
                return

    async def _keep(self, letters: Sequence[Letter], read: Read) -> None:
        at = self._clock()
        # the same delivery may lie there thousands of times
        found = dict.fromkeys(read(letter, at) for letter in letters)
        if await self._committed(letters, [kept for kept in found if kept is not None]):
            for letter in letters:
                await letter.ack()

    async def _committed(self, letters: Sequence[Letter], kept: Sequence[Stranding]) -> bool:
        """Try until the ledger has them; False when they come again all the same."""
        loop = asyncio.get_running_loop()
        give_back_at = loop.time() + self._hold
        failures = 0
        while not all(letter.lost for letter in letters):
            try:
                if kept:
                    await self._strand(kept)
            except Fault as fault:
                failures += 1
                log.warning("keeper.held", extra={"fault": str(fault), "count": len(letters)})
            else:
                return True
            if loop.time() >= give_back_at:
                self._connection.renew()
                return False
            longest = min(self._pause, 0.1 * 2 ** min(failures, 10))
            await asyncio.sleep(random.uniform(0, longest))  # noqa: S311
        return False
