"""The faults of a soak: each does its harm, lasts, and is mended before it returns."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager

from tests.fault.gateway_process import GatewayProcess
from tests.servers.cutting_proxy import How, Toward, after
from tests.servers.rabbitmq import RabbitMQ
from tests.soak.city import City
from tests.soak.taking import Mood

Fault = Callable[[City], Awaitable[None]]

PAUSE_SECONDS = 20.0
BURST_SECONDS = 15.0
BURST = 2.0
KEY_CHANGES = 3


async def _for(city: City, least: float, most: float) -> None:
    await asyncio.sleep(city.draw.uniform(least, most))


def _one_of(city: City) -> GatewayProcess:
    return city.draw.choice(list(city.processes.values()))


async def kill_process(city: City) -> None:
    process = _one_of(city)
    await asyncio.to_thread(process.kill)
    await _for(city, 0, 5)
    await process.restart()


async def end_process(city: City) -> None:
    process = _one_of(city)
    try:
        await process.terminate()
    except AssertionError as error:
        city.book.wrong(f"SIGTERM: {str(error)[:200]}")
        process.close()
    await process.restart()


async def pause_process(city: City) -> None:
    process = _one_of(city).process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(PAUSE_SECONDS)
    finally:
        os.kill(process.pid, signal.SIGCONT)


async def kill_postgres(city: City) -> None:
    await asyncio.to_thread(city.postgres.kill)
    await _for(city, 1, 8)
    await asyncio.to_thread(city.postgres.start)


async def restart_postgres(city: City) -> None:
    await asyncio.to_thread(city.postgres.stop)
    await _for(city, 0, 4)
    await asyncio.to_thread(city.postgres.start)


async def stop_rabbit(city: City) -> None:
    await asyncio.to_thread(city.rabbit.stop)
    await _for(city, 1, 8)
    await asyncio.to_thread(city.rabbit.start)


async def kill_rabbit(city: City) -> None:
    await asyncio.to_thread(city.rabbit.kill)
    await _for(city, 1, 8)
    await asyncio.to_thread(city.rabbit.start)


@asynccontextmanager
async def _meanwhile(state: AbstractContextManager[None]) -> AsyncIterator[None]:
    await asyncio.to_thread(state.__enter__)
    try:
        yield
    finally:
        await asyncio.to_thread(state.__exit__, None, None, None)


async def short_of_disk(city: City) -> None:
    async with _meanwhile(RabbitMQ.short_of_disk(city.rabbit)):
        await _for(city, 5, 15)


async def short_of_memory(city: City) -> None:
    async with _meanwhile(RabbitMQ.short_of_memory(city.rabbit)):
        await _for(city, 5, 15)


def _mood(mood: Mood) -> Fault:
    async def push(city: City) -> None:
        city.endpoint.mood = mood
        try:
            await _for(city, 4, 12)
        finally:
            city.endpoint.mood = Mood.WELL

    return push


async def slow_push(city: City) -> None:
    # both sides of what the gateway waits for
    city.endpoint.slow_seconds = city.draw.choice([2.0, 8.0])
    await _mood(Mood.SLOW)(city)


async def reader_dies(city: City) -> None:
    for _ in range(city.draw.randint(1, 3)):
        city.reader_cut.cut_all(city.draw.choice([How.RESET, How.FINISH]))
        await _for(city, 0.5, 2)


async def reader_rejects(city: City) -> None:
    city.reader.rejecting = 0.1
    try:
        await _for(city, 5, 10)
    finally:
        city.reader.rejecting = 0.0


async def cut_connections(city: City) -> None:
    for proxy in city.cuts:
        for _ in range(3):
            toward = city.draw.choice(list(Toward))
            proxy.cut(toward, after(city.draw.randrange(20_000)), city.draw.choice(list(How)))
            await _for(city, 0.5, 2)
        proxy.cut_all(How.RESET)
    await _for(city, 1, 5)
    for proxy in city.cuts:
        proxy.clear()


async def bad_posts(city: City) -> None:
    await city.senders.garbage(100)


async def duplicates(city: City) -> None:
    again = list(city.senders.kept)
    city.draw.shuffle(again)
    for some in range(0, len(again), 20):
        await asyncio.gather(*(city.senders.repeat(each) for each in again[some : some + 20]))


async def burst(city: City) -> None:
    city.pace.times = BURST
    try:
        await asyncio.sleep(BURST_SECONDS)
    finally:
        city.pace.times = 1.0


async def new_keys(city: City) -> None:
    """A key is made at once; changing over goes on while other things happen."""
    code, said = await city.command("sleutels", "nieuw", "--soort", "kluis")
    if code:
        city.book.wrong(f"sleutels nieuw: {said[-300:]}")
        return
    code, said = await city.command("sleutels", "wissel", "--soort", "kluis", "--no-wachten")
    if code:
        city.book.wrong(f"sleutels wissel: {said[-300:]}")


async def new_directory(city: City) -> None:
    city.changes += 1
    await asyncio.to_thread(city.world.apply, city.parties())


FAULTS: dict[str, tuple[Fault, int]] = {
    "gatewayproces kill -9": (kill_process, 4),
    "gatewayproces SIGTERM": (end_process, 2),
    "gatewayproces 20 s stil (SIGSTOP)": (pause_process, 2),
    "PostgreSQL kill -9": (kill_postgres, 3),
    "PostgreSQL herstart": (restart_postgres, 1),
    "RabbitMQ stop en start": (stop_rabbit, 1),
    "RabbitMQ kill -9": (kill_rabbit, 2),
    "RabbitMQ schijfalarm": (short_of_disk, 1),
    "RabbitMQ geheugenalarm": (short_of_memory, 1),
    "push-eindpunt weg": (_mood(Mood.GONE), 1),
    "push-eindpunt traag": (slow_push, 1),
    "push-eindpunt 500": (_mood(Mood.ERROR), 1),
    "push-eindpunt 429": (_mood(Mood.BUSY), 1),
    "push-eindpunt breekt antwoord af": (_mood(Mood.CUT), 1),
    "abonnee sterft met onbevestigde berichten": (reader_dies, 2),
    "abonnee weigert een deel": (reader_rejects, 2),
    "verbindingen afgebroken": (cut_connections, 3),
    "onzin, ongetekend, veranderd, conflict": (bad_posts, 2),
    "dubbele inzendingen": (duplicates, 1),
    "uitbarsting op volle last": (burst, 1),
    "sleutelwissel": (new_keys, 1),
    "wijziging van het register": (new_directory, 2),
}
"""Every fault and its weight in the draw."""


class Fates:
    """Draws faults; each comes once before chance alone decides, in a random order."""

    def __init__(self, city: City) -> None:
        self._draw = city.draw
        self._first = list(FAULTS)
        self._draw.shuffle(self._first)
        self._keys = 0

    def next(self) -> tuple[str, Fault]:
        """The next fault."""
        if self._first:
            name = self._first.pop()
        else:
            weights = [weight for _, weight in FAULTS.values()]
            name = self._draw.choices(list(FAULTS), weights)[0]
        if name == "sleutelwissel":
            self._keys += 1
            if self._keys > KEY_CHANGES:
                return self.next()
        return name, FAULTS[name][0]
