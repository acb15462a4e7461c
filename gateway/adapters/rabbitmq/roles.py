"""What a gateway process does with the broker, by role, over two connections.

One publishes and one consumes: a broker that is short of memory stops reading from
connections that publish, and acknowledgements must still pass.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial

from aio_pika.abc import AbstractChannel

from gateway.adapters.ledger_work import Confirmations
from gateway.adapters.rabbitmq.connection import BrokerConnection
from gateway.adapters.rabbitmq.keeper import Keeper
from gateway.adapters.rabbitmq.queue_in import Intake, QueueIn, Reply
from gateway.adapters.rabbitmq.queue_out import QueueOut
from gateway.adapters.rabbitmq.self_check import self_check
from gateway.adapters.rabbitmq.topology import Topology
from gateway.adapters.rabbitmq.upkeep import LOOK_EVERY, Noticing, Refill, Upkeep
from gateway.adapters.rest_in.services import Services
from gateway.dead_letter import Stranding
from gateway.delivery import Reason
from gateway.errors import BrokerUnavailable, Refusal
from gateway.message import Channel, Door, Oin, as_bytes
from gateway.pipeline import ChannelOut, accept
from gateway.replies import FOUTBERICHT, ONTVANGSTBEVESTIGING, foutbericht
from gateway.routing.directory import EMPTY, Directory

READY_WITHIN = timedelta(seconds=10)
"""A gateway starts without a broker too; it only waits so long for one."""


class Broker:
    """The gateway's side of the broker.

    Attributes:
        queue_out: The channel *queue*.

    Args:
        urls: Of one broker, or of the nodes of one cluster.
    """

    def __init__(self, urls: Sequence[str], gateway: Oin) -> None:
        self._urls = urls
        self._upkeep: Upkeep | None = None
        self._refill: Refill | None = None
        self._directory: Directory = EMPTY
        self._checked = False
        self._topology = Topology(self._parties, gone=self._gone)
        self._publishing = BrokerConnection(urls, name="publish", prepare=self._prepare)
        self._consuming = BrokerConnection(urls, name="consume", prepare=self._topology.declare)
        self.queue_out: ChannelOut = Noticing(QueueOut(self._publishing, gateway), self._missed)

    def healthy(self) -> bool:
        """Whether messages can be published now."""
        return self._publishing.healthy

    async def follow(self, directory: Directory) -> None:
        """Declare the queues of parties that are new in this directory."""
        before = set(self._parties())
        self._directory = directory
        if not before.issuperset(self._parties()):
            self._missed()

    def _missed(self) -> None:
        if self._upkeep is not None:
            self._upkeep.ask()

    async def _gone(self, parties: Sequence[Oin]) -> None:
        if self._refill is not None:
            await self._refill.gone(parties)

    @asynccontextmanager
    async def connected(self, services: Services, roles: frozenset[str]) -> AsyncIterator[None]:
        """Connect, consume what these roles consume, and disconnect in order."""
        queue_in: QueueIn | None = None
        tasks: list[asyncio.Task[None]] = []
        if "ontvangen" in roles:
            intake = _intake(services)
            queue_in = QueueIn(
                self._consuming,
                self._publishing,
                intake,
                clock=services.line.clock,
                largest=services.settings.largest_body,
            )
        if "houder" in roles:
            keeper = Keeper(self._consuming, _strand(services), clock=services.line.clock)
            tasks.append(asyncio.create_task(keeper.run(), name="keeper"))
        refill = self._refill = _refill(services)
        upkeep = self._upkeep = Upkeep(
            self._urls, self._topology.declare, LOOK_EVERY if "houder" in roles else None
        )
        tasks.append(asyncio.create_task(upkeep.run(), name="upkeep"))
        self._publishing.start()
        self._consuming.start()
        with suppress(BrokerUnavailable):  # degraded: accepting goes on, deliveries wait
            await self._publishing.until_healthy(READY_WITHIN)
        try:
            yield
        finally:
            await self._consuming.close()
            if queue_in is not None:
                await queue_in.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await refill.close()
            await self._publishing.close()

    def _parties(self) -> list[Oin]:
        return [
            party.oin
            for party in self._directory.parties.values()
            if party.channel is Channel.QUEUE
        ]

    async def _prepare(self, channel: AbstractChannel) -> None:
        await self._topology.declare(channel)
        if not self._checked:
            await self_check(channel)
            self._checked = True


def _intake(services: Services) -> Intake:
    """The line behind the door *queue*."""
    line = services.line
    confirmations = Confirmations(services.writer, services.ledger, line.clock)

    async def confirm(oin: Oin, ids: Sequence[str]) -> None:
        await confirmations.confirm(oin, ids)
        services.news.ring()

    async def object_to(oin: Oin, delivery_id: str, code: str) -> None:
        stranding = Stranding(delivery_id, Reason.GEWEIGERD, code, line.clock(), ontvanger=oin)
        await services.writer.run(lambda: services.ledger.strand([stranding]))

    def reply(body: bytes, kind: str) -> Reply:
        return Reply(body=body, kind=kind, signature=line.sealer.queue_json(body, "ES256"))

    def refused(refusal: Refusal, oin: Oin) -> Reply:
        services.refusals.note(refusal, Door.QUEUE)
        document = foutbericht(
            refusal,
            own=str(uuid.uuid4()),
            about=refusal.referentienummer,
            sender=line.gateway,
            to=oin,
            at=line.clock(),
        )
        return reply(as_bytes(document), str(FOUTBERICHT))

    return Intake(
        accept=partial(accept, line=line),
        confirm=confirm,
        objection=object_to,
        receipt=lambda receipt, _: reply(receipt.document, str(ONTVANGSTBEVESTIGING)),
        refusal=refused,
    )


def _refill(services: Services) -> Refill:
    return Refill(
        services.writer,
        services.ledger,
        services.line.directory,
        clock=services.line.clock,
        again=services.news.ring,
    )


def _strand(services: Services) -> Callable[[Sequence[Stranding]], Awaitable[None]]:
    async def strand(strandings: Sequence[Stranding]) -> None:
        await services.writer.run(lambda: services.ledger.strand(strandings))

    return strand
