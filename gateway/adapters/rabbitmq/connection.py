"""Is there a broker, and what happens while there is none?

One owner per connection. It connects, declares, subscribes and watches; when anything
of that breaks it starts again from the beginning. While it does, publishing fails at
once with ``BrokerUnavailable``: the ledger holds the work and tries again.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from itertools import cycle
from typing import Self, cast

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.connection import make_url
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, DeliveryError, PublishError
from aiormq import Channel as RawChannel
from aiormq.abc import AbstractConnection as RawConnection
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_delay,
    wait_random_exponential,
)

from gateway.adapters.rabbitmq.consumer import ANSWER_WITHIN, Consumer, Letter
from gateway.adapters.rabbitmq.lane import Properties
from gateway.adapters.rabbitmq.lanes import Lanes, OwnCancellationOnly
from gateway.adapters.rabbitmq.wire import keep_bodies_out_of_logs, read_leniently
from gateway.errors import BrokerUnavailable, Fault

log = logging.getLogger(__name__)

TROUBLE: tuple[type[BaseException], ...] = (*CONNECTION_EXCEPTIONS, TimeoutError)
"""Everything by which the AMQP library says that the broker is not there for us."""

CLOSE_WITHIN = 4.0
"""Seconds for an orderly goodbye; a broker that is gone does not answer one."""

Prepare = Callable[[AbstractChannel], Awaitable[None]]
"""Declares what is needed, on a fresh channel at every (re)connection."""


class Unroutable(BrokerUnavailable):
    """No queue is bound for this key; the broker gave the message back."""


class QueueFull(BrokerUnavailable):
    """The queue is at its limit; the broker refused the message."""


class BrokerConnection:
    """One supervised connection: publish, subscribe, stay alive.

    Publishing and consuming each deserve their own: a broker that is short of memory
    stops reading from connections that publish, their acknowledgements included.

    Args:
        url: ``amqp://user:secret@host/vhost``, or several nodes of one cluster: each next
            try to connect goes to the next of them.
        name: What the broker's operator sees.
        prepare: Declares the topology; its Fault keeps the connection unhealthy.
        publish_timeout: After so long without confirm a publish has failed.
        heartbeat: A silent peer is noticed after about three times this.
        watch_every: How often the broker is asked whether our consumers still exist.
    """

    def __init__(
        self,
        url: str | Sequence[str],
        *,
        name: str,
        prepare: Prepare | None = None,
        publish_timeout: timedelta = timedelta(seconds=5),
        heartbeat: timedelta = timedelta(seconds=10),
        watch_every: timedelta = timedelta(seconds=10),
    ) -> None:
        self._urls = cycle([url] if isinstance(url, str) else url)
        self._name = name
        self._prepare = prepare
        self._publish_timeout = publish_timeout.total_seconds()
        self._heartbeat = int(heartbeat.total_seconds())
        self._watch_every = watch_every.total_seconds()
        self._consumers: list[Consumer] = []
        self._lanes: Lanes | None = None
        self._healthy = asyncio.Event()
        self._broken = asyncio.Event()
        self._doubted = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None
        self.problem = "no connection to the broker yet"

    @property
    def healthy(self) -> bool:
        """Connected, declared and subscribed; ``problem`` says why not, in one sentence."""
        return self._healthy.is_set()

    def start(self) -> None:
        """Begin to connect; returns at once, also when there is no broker."""
        read_leniently()
        keep_bodies_out_of_logs()
        if self._supervisor is None:
            self._supervisor = asyncio.create_task(self._supervise(), name=self._name)

    async def until_healthy(self, within: timedelta = timedelta(seconds=30)) -> None:
        """Wait until connected, declared and subscribed.

        Raises:
            BrokerUnavailable: that did not come about within this time.
        """
        try:
            async with asyncio.timeout(within.total_seconds()):
                await self._healthy.wait()
        except TimeoutError:
            raise BrokerUnavailable(self.problem) from None

    async def close(self) -> None:
        """Disconnect. What was not acknowledged goes back to its queue."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
            self._supervisor = None

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def subscribe(self, queue: str, *, prefetch: int, receive: Callable[[Letter], None]) -> None:
        """Consume ``queue`` from the next connection on; call it before ``start``.

        Args:
            queue: Name of a queue that ``prepare`` declares.
            prefetch: Letters that may be out without acknowledgement.
            receive: Takes a letter in without waiting; it answers with ``ack`` or
                ``reject`` when its work is done.
        """
        self._consumers.append(Consumer(queue, prefetch, receive))

    def renew(self) -> None:
        """Drop this connection and make a new one; unacknowledged letters return."""
        self._lost(self._broken)

    async def publish(
        self,
        body: bytes,
        properties: Properties,
        *,
        exchange: str,
        key: str,
        recipient: str,
    ) -> None:
        """Publish one message, mandatory; returns when the broker confirmed it.

        What is published for one ``recipient`` keeps its order; a stuck queue of one
        holds up no other.

        Raises:
            Unroutable: no queue is bound for ``key``.
            QueueFull: the queue refuses more.
            BrokerUnavailable: not connected, or not confirmed in time. The message may
                have arrived all the same.
        """
        lanes = self._lanes
        if lanes is None:
            raise BrokerUnavailable(self.problem)
        try:
            lane = await lanes.of(recipient)
            await lane.publish(body, properties, exchange, key)
        except PublishError as error:
            raise Unroutable("no queue is bound for this key") from error
        except DeliveryError as error:
            raise QueueFull("the queue refuses more") from error
        except TimeoutError as error:
            self._doubted.set()
            raise BrokerUnavailable("the broker did not confirm in time") from error
        except TROUBLE as error:
            if lanes is self._lanes:
                self._lost(self._broken)
            raise BrokerUnavailable("the connection to the broker was lost") from error

    async def _supervise(self) -> None:
        while True:
            try:
                with OwnCancellationOnly():
                    await self._session()
                self.problem = "the connection to the broker was lost"
            except Fault as fault:
                self.problem = str(fault)
            except TROUBLE as error:
                self.problem = f"the broker does not answer ({type(error).__name__})"
            except Exception as error:  # noqa: BLE001 - the edge: alert, and connect again
                self.problem = f"the connection failed ({type(error).__name__})"
                log.error("broker.crashed", extra={"error": type(error).__name__})  # noqa: TRY400
            log.warning("broker.lost", extra={"place": self._name, "fault": self.problem})
            # many processes must not return in step
            await asyncio.sleep(random.uniform(0.05, 0.5))  # noqa: S311

    async def _session(self) -> None:
        """From connecting to the first sign of trouble."""
        self._broken = asyncio.Event()
        async with self._connected() as connection:
            channel = await self._open(connection)
            if self._prepare is not None:
                await self._prepare(channel)
            for consumer in self._consumers:
                await consumer.attach(
                    await self._open(connection), partial(self._lost, self._broken)
                )
            self._lanes = Lanes(partial(self._open_raw, connection), self._publish_timeout)
            self.problem = ""
            self._healthy.set()
            log.info("broker.ready", extra={"place": self._name})
            await self._watch(await self._open_raw(connection))

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AbstractConnection]:
        connection = await self._connect()
        connection.close_callbacks.add(self._breaker())
        try:
            yield connection
        finally:
            self._healthy.clear()
            self._lanes = None
            with suppress(*TROUBLE):
                async with asyncio.timeout(CLOSE_WITHIN):
                    await connection.close()

    async def _connect(self) -> AbstractConnection:
        """Connect, riding out blips of seconds."""
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(TROUBLE),
            wait=wait_random_exponential(multiplier=0.1, max=2),
            stop=stop_after_delay(20),
            reraise=True,
        )
        return await retrying(self._connect_once)

    async def _connect_once(self) -> AbstractConnection:
        connection = aio_pika.Connection(
            make_url(next(self._urls), heartbeat=self._heartbeat),
            client_properties={"connection_name": self._name},
        )
        try:
            await connection.connect(timeout=ANSWER_WITHIN)
        except BaseException:
            # else the library starts a task to close it, whenever it is collected
            await connection.close()
            raise
        return connection

    async def _open(self, connection: AbstractConnection) -> AbstractChannel:
        channel = connection.channel(publisher_confirms=True, on_return_raises=True)
        async with asyncio.timeout(ANSWER_WITHIN):
            await channel.initialize()
        channel.close_callbacks.add(self._breaker())
        return channel

    async def _open_raw(self, connection: AbstractConnection) -> RawChannel:
        channel = await (await self._open(connection)).get_underlay_channel()
        return cast("RawChannel", channel)  # the library only ever makes this one

    def _breaker(self) -> Callable[[object, BaseException | None], None]:
        """What ends *this* session; an old one may call it long after its end."""
        broken = self._broken

        def on_close(_sender: object, _error: BaseException | None) -> None:
            self._lost(broken)

        return on_close

    def _lost(self, broken: asyncio.Event) -> None:
        """End the session of ``broken``; nobody may publish into it for another moment."""
        broken.set()
        if broken is self._broken:
            self._doubted.set()
            self._healthy.clear()
            self._lanes = None

    async def _watch(self, channel: RawChannel) -> None:
        """Return when something broke: told by the library, or found by asking."""
        broken = self._broken
        while not broken.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._watch_every):
                    await self._doubted.wait()
            self._doubted.clear()
            await self._while_blocked(channel.connection, broken)
            if broken.is_set():
                return
            async with asyncio.timeout(ANSWER_WITHIN):
                await channel.basic_qos(prefetch_count=1)  # anything that must be answered
                for consumer in self._consumers:
                    if await consumer.vanished(channel):
                        log.warning("broker.consumer-gone", extra={"queue": consumer.queue})
                        return

    async def _while_blocked(self, connection: RawConnection, broken: asyncio.Event) -> None:
        """Count as unhealthy for as long as the broker refuses to read what we publish.

        It is short of disk or memory then: nobody's message is at fault, so none is tried.
        """
        reading = asyncio.create_task(connection.ready())
        breaking = asyncio.create_task(broken.wait())
        try:
            await asyncio.sleep(0)
            if reading.done() or broken.is_set():
                return
            self._healthy.clear()
            self.problem = "the broker is short of disk or memory and takes nothing"
            log.warning("broker.blocked", extra={"place": self._name})
            await asyncio.wait({reading, breaking}, return_when=asyncio.FIRST_COMPLETED)
            if not broken.is_set():
                self.problem = ""
                self._healthy.set()
                log.info("broker.ready", extra={"place": self._name})
        finally:
            reading.cancel()
            breaking.cancel()
