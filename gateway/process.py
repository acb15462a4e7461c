"""One gateway process: its listeners and loops, from the first signal to the last."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn

from gateway.adapters.logs import configure_logging
from gateway.app import Gateway, Task, built
from gateway.settings import Settings

log = logging.getLogger(__name__)

STOP_WITHIN_SECONDS = 20.0


async def serve(settings: Settings) -> None:
    """Run this process's roles until SIGTERM or SIGINT, then finish what is under way."""
    configure_logging()
    async with built(settings) as gateway:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        servers = _servers(settings, gateway)
        async with at_work(gateway, *(server.serve for server in servers)) as running:
            log.info("gateway.started", extra={"roles": ",".join(sorted(settings.roles))})
            ended = asyncio.create_task(stopping.wait())
            await asyncio.wait([ended, *running], return_when=asyncio.FIRST_COMPLETED)
            gateway.services.news.close()
            for server in servers:
                server.should_exit = True


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


def _servers(settings: Settings, gateway: Gateway) -> list[Server]:
    """The HTTP listeners; a process that only delivers still answers for its health."""
    listeners = []
    if "ontvangen" in settings.roles:
        listeners.append((gateway.app, settings.port))
    if gateway.admin is not None:
        listeners.append((gateway.admin, settings.admin_port))
    return [
        Server(
            uvicorn.Config(
                app,
                host=settings.host,
                port=port,
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                lifespan="off",
                proxy_headers=False,
                timeout_graceful_shutdown=int(STOP_WITHIN_SECONDS),
                h11_max_incomplete_event_size=64 * 1024,
            )
        )
        for app, port in listeners
    ]


class Server(uvicorn.Server):
    """uvicorn without its own signal handlers: this process has one way to stop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to ``serve``."""
        yield
