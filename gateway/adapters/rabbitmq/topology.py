"""What exists on the broker, and who may touch it: declared by the gateway, whole.

    gateway.berichten (topic)   --<oin>.#-->  partij.<oin>     --dead-->  gateway.gestrand
    gateway.inzending (fanout)  ----------->  gateway.inzending  --dead-->  gateway.gestrand
    (default exchange)          ----------->  partij.<oin>.antwoord

Written for RabbitMQ 3.10 and 4.x alike: every argument that they default differently is
set. Wrong arguments are often accepted in silence: ``self_check`` asserts behaviour.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed
from aiormq.abc import AbstractChannel as RawChannel
from pamqp.common import FieldTable

from gateway.errors import Fault
from gateway.message import Oin

BERICHTEN = "gateway.berichten"
INZENDING = "gateway.inzending"
GESTRAND = "gateway.gestrand"
TRIAL = "gateway.proef."
"""Start of the names of scratch queues; what dies on one is nobody's message."""
TRIAL_TYPE = "nl.schuldhulpverlening.gateway.proef.v1"

DECLARE_WITHIN = 30.0
"""Seconds for one queue to be declared; choosing its leader takes a moment."""

NO_LIMIT = 1_000_000
"""Deliveries. Leaving the limit out means 20 on RabbitMQ 4, and -1 means 1 on 3.10."""


class TopologyConflict(Fault):
    """A queue or exchange exists with other arguments; an operator must look."""


class Permissions(NamedTuple):
    """What a broker user may do: regular expressions over names."""

    configure: str
    write: str
    read: str


def permissions(oin: Oin) -> Permissions:
    """What the broker user of a party (= its OIN) may do.

    Raises:
        ValueError: ``oin`` is not 20 digits; anything else could widen the expression.
    """
    if not re.fullmatch(r"[0-9]{20}", oin):
        raise ValueError("an OIN is 20 digits")
    return Permissions(
        configure="^$",
        write=r"^gateway\.inzending$",
        read=rf"^partij\.{oin}(\.antwoord)?$",
    )


def party_queue(oin: Oin) -> str:
    """Where a party's deliveries lie."""
    return f"partij.{oin}"


def answer_queue(oin: Oin) -> str:
    """Where a party finds what became of its submissions."""
    return f"partij.{oin}.antwoord"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much the broker may hold in plain text, and how often it tries.

    Attributes:
        messages: Messages per party queue; then publishing is refused.
        size: Bytes per party queue, likewise.
        deliveries: Redeliveries to a subscriber that crashes or requeues; one more
            makes a dead letter. A subscriber that restarts often wants more.
    """

    messages: int = 20_000
    size: int = 1024 * 1024 * 1024
    deliveries: int = 5


class Topology:
    """Declares everything, for these parties with a queue; idempotent.

    Args:
        parties: Tells the OIN of every party whose channel is *queue*; asked at each
            declaration, so a reconnection follows the directory.
        gone: Is told whose queues are not there, before they are made.
    """

    def __init__(
        self,
        parties: Callable[[], Iterable[Oin]] = tuple,
        limits: Limits | None = None,
        gone: Callable[[Sequence[Oin]], Awaitable[None]] | None = None,
    ) -> None:
        self._parties = parties
        self._limits = limits or Limits()
        self._gone = gone

    async def declare(self, channel: AbstractChannel) -> None:
        """Declare all of it; what is there already and equal stays as it is.

        Raises:
            TopologyConflict: something exists with other arguments. The broker closes
                ``channel`` then.
        """
        try:
            await self._declare_shared(channel)
            parties = sorted(set(self._parties()))
            if self._gone is not None:
                # told first: who dies after declaring would leave an empty queue that
                # nobody knows of
                gone = await _without_queue(channel, parties)
                if gone:
                    await self._gone(gone)
            for oin in parties:
                await self._declare_party(channel, oin)
        except ChannelPreconditionFailed as error:
            raise TopologyConflict(
                "a queue or exchange exists on the broker with other arguments than the "
                "gateway's; see the broker's log, empty and delete it, then start again"
            ) from error

    async def _declare_shared(self, channel: AbstractChannel) -> None:
        for name, kind in (
            (GESTRAND, ExchangeType.FANOUT),
            (BERICHTEN, ExchangeType.TOPIC),
            (INZENDING, ExchangeType.FANOUT),
        ):
            await channel.declare_exchange(name, kind, durable=True, timeout=DECLARE_WITHIN)
        await self._queue(channel, GESTRAND, gestrand_arguments(), GESTRAND, "#")
        await self._queue(channel, INZENDING, inzending_arguments(), INZENDING, "#")

    async def _declare_party(self, channel: AbstractChannel, oin: Oin) -> None:
        arguments = party_arguments(self._limits)
        await self._queue(channel, party_queue(oin), arguments, BERICHTEN, f"{oin}.#")
        await self._queue(channel, answer_queue(oin), answer_arguments())

    async def _queue(
        self,
        channel: AbstractChannel,
        name: str,
        arguments: FieldTable,
        exchange: str = "",
        key: str = "",
    ) -> None:
        async with asyncio.timeout(DECLARE_WITHIN):
            queue = await channel.declare_queue(name, durable=True, arguments=arguments)
            if exchange:
                await queue.bind(exchange, key)


async def _without_queue(channel: AbstractChannel, parties: Sequence[Oin]) -> list[Oin]:
    """Those whose queue of deliveries does not exist."""
    connection = (await channel.get_underlay_channel()).connection
    missing: list[Oin] = []
    asking: RawChannel | None = None
    for oin in parties:
        asking = asking or await connection.channel(publisher_confirms=False)
        try:
            await asking.queue_declare(party_queue(oin), passive=True, timeout=DECLARE_WITHIN)
        except ChannelNotFoundEntity:  # which closes the channel
            missing.append(oin)
            asking = None
    if asking is not None:
        await asking.close()
    return missing


def _quorum(*, deliveries: int, messages: int, size: int, overflow: str) -> FieldTable:
    return {
        "x-queue-type": "quorum",
        "x-delivery-limit": deliveries,
        "x-max-length": messages,
        "x-max-length-bytes": size,
        "x-overflow": overflow,
    }


def _dying_into(exchange: str, arguments: FieldTable) -> FieldTable:
    # at-least-once needs overflow=reject-publish; with drop-head it falls back silently
    return arguments | {
        "x-dead-letter-exchange": exchange,
        "x-dead-letter-strategy": "at-least-once",
    }


def party_arguments(limits: Limits, dead: str = GESTRAND) -> FieldTable:
    """Of ``partij.<oin>``: in order, to one consumer, nothing lost."""
    arguments = _quorum(
        deliveries=limits.deliveries,
        messages=limits.messages,
        size=limits.size,
        overflow="reject-publish",
    )
    return _dying_into(dead, arguments) | {"x-single-active-consumer": True}


def answer_arguments() -> FieldTable:
    """Of ``partij.<oin>.antwoord``.

    The oldest answers go when nobody reads them: a party that does not read must not
    stop the intake, and whoever repeats a message gets its first receipt again.
    """
    return _quorum(deliveries=20, messages=10_000, size=64 * 1024 * 1024, overflow="drop-head")


def inzending_arguments() -> FieldTable:
    """Of ``gateway.inzending``.

    While the ledger is down the gateway holds what it took and gives it back after some
    time, which counts as a delivery; so the limit outlasts an outage of a day.
    """
    arguments = _quorum(
        deliveries=100,
        messages=100_000,
        size=2 * 1024 * 1024 * 1024,
        overflow="reject-publish",
    )
    return _dying_into(GESTRAND, arguments)


def gestrand_arguments() -> FieldTable:
    """Of ``gateway.gestrand``: nothing leaves it but by the keeper's hand."""
    return _quorum(
        deliveries=NO_LIMIT,
        messages=1_000_000,
        size=8 * 1024 * 1024 * 1024,
        overflow="reject-publish",
    )
