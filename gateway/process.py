"""One gateway process: its listeners and loops, from the first signal to the last."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

from gateway.adapters.logs import configure_logging
from gateway.adapters.rest_in.listener import Server, bind, server
from gateway.app import Gateway, Task, built
from gateway.family import STOP_WITHIN_SECONDS, Kin
from gateway.settings import Settings

log = logging.getLogger(__name__)

COLLECT_SELDOM = (50_000, 20, 20)
"""New objects before the collector looks, and how often it looks at older ones."""

LARGE_BYTES = 1024 * 1024
"""What is at least so large gets memory of its own, that goes back to the system at once."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of ``mallopt`` in glibc."""


async def serve(settings: Settings, ready: Callable[[], None], kin: Kin | None = None) -> None:
    """Run this process's roles until SIGTERM or SIGINT, then finish what is under way.

    Args:
        ready: Called once the doors are open.
        kin: Of one of several processes; it also ends when its parent does.

    Raises:
        Fault: an address cannot be listened on, or something was not prepared.
    """
    configure_logging()
    return_large_memory()
    if kin is not None and kin.core is not None:
        _stay_on(kin.core)  # before there are threads, which inherit it
    async with built(settings) as gateway:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        if kin is not None:
            _end_with(kin, stopping)
        listeners = _listeners(settings, gateway, shared=kin is not None)
        doors = (partial(server.serve, sockets=[door]) for server, door in listeners)
        _settle_memory()
        async with at_work(gateway, *doors) as running:
            log.info("gateway.started", extra={"roles": ",".join(sorted(settings.roles))})
            ready()
            ended = asyncio.create_task(stopping.wait())
            await asyncio.wait([ended, *running], return_when=asyncio.FIRST_COMPLETED)
            gateway.services.news.close()
            for server, _ in listeners:
                server.should_exit = True


def _stay_on(core: int) -> None:
    """Keep to one core, and let who runs there finish its turn.

    Processes that share a core and interrupt each other at every wake-up empty its caches for
    each other; in longer turns the same messages cost less, and more of them share a commit.
    """
    os.sched_setaffinity(0, {core})
    with suppress(PermissionError):  # a container may forbid it
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _end_with(kin: Kin, stopping: asyncio.Event) -> None:
    """Stop when the parent is gone."""
    loop = asyncio.get_running_loop()

    def orphaned() -> None:
        loop.remove_reader(kin.life)
        stopping.set()

    loop.add_reader(kin.life, orphaned)


def return_large_memory() -> None:
    """Have large pieces of memory given back to the system when they are no longer needed.

    glibc raises the size from which it does so to that of the largest piece that was ever freed:
    after one large body all later ones would lie in the heap, which each flood of them widens.
    Where the C library has no such setting, nothing happens.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(M_MMAP_THRESHOLD, LARGE_BYTES)
        set_option(M_TRIM_THRESHOLD, 2 * LARGE_BYTES)


def _settle_memory() -> None:
    """What was built at start stays: the collector need not look at it again and again.

    Nothing on the line makes cycles, so what a message needed is gone with its last reference;
    looking seldom for cycles that libraries make saves a tenth of the work of a message.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_SELDOM)


@asynccontextmanager
async def at_work(gateway: Gateway, *doors: Task) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Run the doors and what runs beside them; at the end let each end as it should.

    Doors (that were asked to) and couriers end by themselves, within
    ``STOP_WITHIN_SECONDS``; the loops are cancelled when those are done.

    Raises:
        Exception: what broke one of them.
    """
    finishing = [asyncio.create_task(task()) for task in (*doors, *gateway.couriers)]
    loops = [asyncio.create_task(task()) for task in gateway.loops]
    running = [*finishing, *loops]
    try:
        yield running
    finally:
        gateway.stop()
        if finishing:
            await asyncio.wait(finishing, timeout=STOP_WITHIN_SECONDS)
        for task in running:
            task.cancel()
        results = await asyncio.gather(*running, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
            raise result


def _listeners(
    settings: Settings, gateway: Gateway, *, shared: bool
) -> list[tuple[Server, socket.socket]]:
    """The open doors; a process that only delivers still answers for its health."""
    doors = []
    if "ontvangen" in settings.roles:
        doors.append((gateway.app, bind(settings.host, settings.port, shared=shared)))
    if gateway.admin is not None:
        doors.append((gateway.admin, bind(settings.admin_host, settings.admin_port)))
    return [(server(app, stop_within=STOP_WITHIN_SECONDS), door) for app, door in doors]
