"""Composition root: builds everything once, in order, and closes it in reverse."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import ssl
import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Sequence,
)
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from starlette.types import ASGIApp

from gateway.adapters.breaker import Breaker, BreakerPolicy
from gateway.adapters.clock import Clock, clock_of
from gateway.adapters.courier import Courier, Pace
from gateway.adapters.directory_watch import DirectoryWatch
from gateway.adapters.egress import Egress, SystemResolver
from gateway.adapters.handover import Handover, Way
from gateway.adapters.keyring import Keyring
from gateway.adapters.ledger.ledger import SqlLedger, open_ledger
from gateway.adapters.ledger.writer import Writer
from gateway.adapters.ledger_work import LedgerWork
from gateway.adapters.news import News
from gateway.adapters.no_broker import NoBroker
from gateway.adapters.push_out import PushOut
from gateway.adapters.quota import Quota
from gateway.adapters.refusals import RefusalLog
from gateway.adapters.rest_in.body import Bodies
from gateway.adapters.rest_in.factory import admin_app, parties_app
from gateway.adapters.rest_in.services import Services
from gateway.adapters.signatures import Seal, Signatures
from gateway.adapters.timekeeping import courses_of, keep_time
from gateway.adapters.tokens import TokenIssuer
from gateway.adapters.upkeep import follow_keys, sweep
from gateway.errors import Fault
from gateway.message import Channel, Receipt, Submission
from gateway.pipeline import ChannelOut, Line, admission, dispatch
from gateway.record import Ledger, RefusalEntry
from gateway.routing.directory import Directory
from gateway.routing.retention import read as read_retention
from gateway.schemas import Catalogue
from gateway.schemas.persons import persons_in
from gateway.settings import Settings

log = logging.getLogger(__name__)

HEAL_EVERY_SECONDS = 30.0
CLOSE_EVERY_SECONDS = 60.0

PACES = {
    Channel.PUSH: Pace(),
    # one broker serves all parties, and confirms come within milliseconds
    Channel.QUEUE: Pace(
        slots=512, per_party=256, attempt=timedelta(seconds=10), margin=timedelta(seconds=20)
    ),
}
BREAKERS = {
    Channel.PUSH: BreakerPolicy(),
    # a broker that is down is down for everybody, and back for everybody
    Channel.QUEUE: BreakerPolicy(
        first_pause=timedelta(seconds=1), longest_pause=timedelta(seconds=5)
    ),
}

Task = Callable[[], Coroutine[Any, Any, None]]
"""Something that a process does all the time."""


def draw() -> str:
    """A fresh identifier: a random UUID (RFC 9562, version 4)."""
    drawn = os.urandom(16).hex()  # as uuid4 makes it, without an object in between
    variant = "89ab"[int(drawn[16], 16) & 3]
    return f"{drawn[:8]}-{drawn[8:12]}-4{drawn[13:16]}-{variant}{drawn[17:20]}-{drawn[20:]}"


@dataclass(frozen=True)
class Gateway:
    """A gateway that is built but does not listen yet.

    Attributes:
        app: What parties reach.
        admin: What operators reach, where that is a separate listener.
        couriers: End by themselves after ``stop``, when what is under way is written.
        loops: What else runs beside the doors, until it is cancelled.
        stop: Asks the couriers to finish what is under way.
    """

    services: Services
    app: ASGIApp
    admin: ASGIApp | None
    couriers: tuple[Task, ...]
    loops: tuple[Task, ...]
    stop: Callable[[], None]


@asynccontextmanager
async def built(settings: Settings) -> AsyncIterator[Gateway]:
    """Everything a process needs, opened in order and closed in reverse.

    Raises:
        Fault: something does not answer or was not prepared (``gateway inrichten``).
    """
    async with AsyncExitStack() as stack:
        keyring = Keyring.load(settings.keys)
        owner = keyring.signing.oin
        if owner != settings.oin:
            raise Fault(f"the keys in {settings.keys} are of {owner}, not of {settings.oin}")
        clock = clock_of(settings.clock_ahead)
        ledger = open_ledger(settings.ledger, keyring, clock=clock)
        stack.callback(ledger.close)
        ledger.follow_keys()
        broker = None
        if settings.broker:
            # a gateway without queues need not load what speaks with a broker
            from gateway.adapters.rabbitmq.roles import Broker  # noqa: PLC0415

            broker = Broker(settings.broker, settings.oin)

        async def follow(directory: Directory) -> None:
            if broker is not None:
                await broker.follow(directory)
            await asyncio.to_thread(_rechannel, ledger, directory, clock())

        watch = DirectoryWatch(
            partial(asyncio.to_thread, ledger.directory),
            follow,
            production=settings.environment == "productie",
        )
        services = _services(settings, keyring, ledger, watch, clock)
        stack.push_async_callback(services.writer.close)
        await watch.refresh()
        if broker is not None:
            await stack.enter_async_context(broker.connected(services, settings.roles))
        queue = (broker.queue_out, broker.healthy) if broker else None
        couriers = _couriers(services, queue, stack)
        shared = settings.port == settings.admin_port
        healthy = broker.healthy if broker else _no_broker
        yield Gateway(
            services=services,
            app=parties_app(services, broker_healthy=healthy, with_console=shared),
            admin=None if shared else admin_app(services, broker_healthy=healthy),
            couriers=tuple(courier.run for courier in couriers),
            loops=(
                watch.run,
                services.refusals.run,
                partial(follow_keys, services.writer, ledger),
                *(
                    [
                        partial(
                            sweep,
                            services.writer,
                            ledger,
                            read_retention(),
                            services.line.courses,
                            clock,
                        )
                    ]
                    if settings.roles & {"klok", "houder"}
                    else []
                ),
                *([partial(_wake, couriers, services.news)] if couriers else []),
                *([partial(_heal, services)] if couriers else []),
                *(
                    [
                        partial(_close_days, services),
                        partial(keep_time, services.writer, ledger, services.line.courses, clock),
                    ]
                    if "klok" in settings.roles
                    else []
                ),
            ),
            stop=lambda: _each(courier.stop for courier in couriers),
        )


def _services(
    settings: Settings,
    keyring: Keyring,
    ledger: SqlLedger,
    watch: DirectoryWatch,
    clock: Clock,
) -> Services:
    """The line and what stands around it."""
    news = News()
    catalogue = Catalogue.load()

    async def record(submission: Submission) -> Receipt:
        receipt = await writer.record(submission)
        if not receipt.all_lent:
            news.ring()
        return receipt

    async def refuse(entries: Sequence[RefusalEntry]) -> None:
        await writer.run(lambda: ledger.refuse(entries))

    line = Line(
        gateway=settings.oin,
        url=settings.url.rstrip("/"),
        catalogue=catalogue,
        persons=persons_in(catalogue),
        check=Signatures(),
        sealer=Seal(keyring.signing),
        digest_key=keyring.digest,
        skew=settings.skew,
        directory=watch,
        courses=courses_of(keyring, watch),
        clock=clock,
        draw=draw,
        jitter=random.random,
        quota=Quota(watch, time.monotonic),
        run=_inline_or_thread(settings.inline_limit),
        record=record,
        channels={},
    )
    writer = Writer(ledger, admission(line), clock=clock, waiting=settings.waiting)
    return Services(
        line=line,
        settings=settings,
        ledger=ledger,
        writer=writer,
        tokens=TokenIssuer(keyring.signing, watch, settings.url),
        keys=keyring.signing,
        refusals=RefusalLog(refuse, clock),
        news=news,
        bodies=Bodies(),
    )


def _couriers(
    services: Services,
    queue: tuple[ChannelOut, Callable[[], bool]] | None,
    stack: AsyncExitStack,
) -> list[Courier]:
    """Role bezorgen: one courier per channel, so that a slow one delays no other.

    Args:
        queue: The channel of that name, and whether it works now; None without a broker.
    """
    if "bezorgen" not in services.settings.roles:
        return []
    resolver = SystemResolver()
    stack.callback(resolver.close)
    tls = ssl.create_default_context(cafile=services.settings.ca_bundle or None)
    push = PushOut(Egress(tls, resolver), now=services.line.clock)
    stack.push_async_callback(push.aclose)
    ways: dict[Channel, ChannelOut] = {
        Channel.PUSH: push,
        Channel.QUEUE: queue[0] if queue else NoBroker(),
    }
    always = LedgerWork(services.writer, services.ledger)
    work = {Channel.PUSH: always, Channel.QUEUE: always}
    if queue is not None:
        work[Channel.QUEUE] = LedgerWork(services.writer, services.ledger, queue[1])
    line = replace(services.line, channels=ways)
    couriers = {
        channel: Courier(
            work[channel],
            partial(dispatch, line=line),
            channels=frozenset({channel}),
            breaker=Breaker(BREAKERS[channel]),
            now=services.line.clock,
            pace=PACES[channel],
        )
        for channel in ways
    }
    # Not to a push: should this process end, what it was given waits for the end of a lease,
    # and only that of a queue is short.
    at_once = Way(couriers[Channel.QUEUE], work[Channel.QUEUE].passable)
    services.writer.hand_to(Handover({Channel.QUEUE: at_once}))
    return list(couriers.values())


async def _wake(couriers: Sequence[Courier], news: News) -> None:
    """Have the couriers look at once after every commit of this process."""
    while not news.closed:
        await news.wait(HEAL_EVERY_SECONDS)
        _each(courier.hint for courier in couriers)


async def _heal(services: Services) -> None:
    """Now and then move what was lent when its party changed channel, and free a delivery
    that waits for nothing; there should be none.
    """
    while True:
        await asyncio.sleep(HEAL_EVERY_SECONDS)
        try:
            line = services.line
            await services.writer.run(_rechannel, services.ledger, line.directory(), line.clock())
            freed = await services.writer.run(lambda: services.ledger.heal(services.line.clock()))
        except Fault:
            continue
        except Exception as bug:  # noqa: BLE001 - what stops this must not stop the doors
            log.error("delivery.heal_stumbled", extra={"fault": type(bug).__name__})  # noqa: TRY400
            continue
        if freed:
            log.warning("delivery.healed", extra={"count": freed})


async def _close_days(services: Services) -> None:
    """Role klok: sign the heads of all logs after the end of each Dutch day."""
    while True:
        try:
            day = await services.writer.run(services.ledger.close_day, services.line.clock())
        except Fault as fault:
            log.warning("evidence.day_not_closed", extra={"fault": type(fault).__name__})
        except Exception as bug:  # noqa: BLE001 - what stops this must not stop the doors
            log.error("evidence.day_not_closed", extra={"fault": type(bug).__name__})  # noqa: TRY400
        else:
            if day is not None:
                log.info("evidence.day_closed", extra={"state": day})
        await asyncio.sleep(CLOSE_EVERY_SECONDS)


def _inline_or_thread(
    limit: int,
) -> Callable[[Callable[[], Submission], int], Awaitable[Submission]]:
    """Small bodies are examined in the event loop (a thread halves throughput), large ones not."""

    async def run(work: Callable[[], Submission], size: int) -> Submission:
        return work() if size <= limit else await asyncio.to_thread(work)

    return run


def _rechannel(ledger: Ledger, directory: Directory, now: datetime) -> int:
    """What waits for a party goes by the channel that the party has now."""
    channels = {party.oin: party.channel for party in directory.parties.values()}
    return ledger.rechannel(channels, now)


def _no_broker() -> bool | None:
    return None


def _each(calls: Iterable[Callable[[], None]]) -> None:
    for call in calls:
        call()
