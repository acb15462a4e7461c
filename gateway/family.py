"""All cores of a machine: one parent and several processes that share its door.

The parent does no work of its own: it starts the others, starts again what ends, and ends all.
Each child plays all the roles of its settings, listens at the same address, among whom the system
spreads connections, delivers what it accepted (ADR 0014), and speaks with its parent over its
standard input and output: the input ends when the parent is gone, and on the output it says that
it is ready, or why it cannot go on.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from gateway.adapters.logs import configure_logging
from gateway.adapters.rest_in.listener import bind
from gateway.errors import Fault
from gateway.settings import Settings

log = logging.getLogger(__name__)

READY = b"ready\n"
"""What a child says first, unless it says why it cannot start."""

STOP_WITHIN_SECONDS = 20.0
"""In which a process that is asked to stop finishes what is under way."""
KILL_AFTER_SECONDS = STOP_WITHIN_SECONDS + 10.0
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
STEADY_AFTER_SECONDS = 60.0
"""A child that lived longer is started again after the first pause, not the next."""


@dataclass(frozen=True, slots=True)
class Kin:
    """What a process has from the parent that started it beside others.

    Attributes:
        life: Ends when the parent is gone.
        core: The one on which it runs.
    """

    life: int
    core: int | None


async def keep(
    settings: Settings, environment: Mapping[str, str], ready: Callable[[], None]
) -> None:
    """Keep ``settings.processes`` processes running until SIGTERM or SIGINT; then end them.

    Args:
        environment: The variables that the settings were read from.
        ready: Called once all are ready.

    Raises:
        Fault: the address cannot be listened on, or a process cannot start; none runs any more.
    """
    configure_logging()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    if "ontvangen" in settings.roles:
        bind(settings.host, settings.port).close()  # children share it with whoever is there
    children = [
        Child(
            {
                **environment,
                "GATEWAY_PROCESSES": "1",
                "GATEWAY_ROLES": ",".join(sorted(settings.roles)),
                "GATEWAY_ADMIN_PORT": str(settings.admin_port + number),
            },
            core=core,
        )
        for number, core in enumerate(cores(settings.processes))
    ]
    lives = [asyncio.create_task(child.live()) for child in children]
    ended = asyncio.create_task(stopping.wait())
    told = asyncio.create_task(_tell(children, ready))
    await asyncio.wait([ended, *lives], return_when=asyncio.FIRST_COMPLETED)
    for task in (ended, told, *lives):
        task.cancel()
    await asyncio.wait([ended, told, *lives])
    for task in (told, *lives):
        if not task.cancelled():
            task.result()


def cores(count: int) -> list[int | None]:
    """On which core each of so many processes runs; None where the system cannot say.

    The threads of a process take turns. On one core they find in its caches what the other left;
    the system would spread them, and the next process with them.
    """
    if not hasattr(os, "sched_getaffinity"):
        return [None] * count
    mine = sorted(os.sched_getaffinity(0))
    return [mine[number % len(mine)] for number in range(count)]


def next_pause(before: float, lived: float) -> float:
    """Seconds until a child that lived so long is started again, after the pause before that."""
    if lived > STEADY_AFTER_SECONDS:
        return FIRST_PAUSE_SECONDS
    return min(max(FIRST_PAUSE_SECONDS, 2 * before), LONGEST_PAUSE_SECONDS)


async def _tell(children: Sequence[Child], ready: Callable[[], None]) -> None:
    for child in children:
        await child.ready.wait()
    ready()


@dataclass
class Child:
    """One process, started again whenever it ends.

    Attributes:
        ready: It has been ready once.
    """

    environment: Mapping[str, str]
    core: int | None
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    async def live(self) -> None:
        """Keep it running until this is cancelled; then it ends, within ``KILL_AFTER_SECONDS``.

        Raises:
            Fault: it has never been ready; says what it said.
        """
        clock = asyncio.get_running_loop().time
        pause = 0.0
        while True:
            began = clock()
            code, said = await self._tried()
            if not self.ready.is_set():
                raise Fault(said or f"a process ended with {code} before it was ready")
            roles = self.environment["GATEWAY_ROLES"]
            log.error("process.ended", extra={"roles": roles, "state": code})
            if said:
                sys.stderr.write(f"gateway: {said}\n")
            pause = next_pause(pause, clock() - began)
            await asyncio.sleep(pause)

    async def _tried(self) -> tuple[int, str]:
        try:
            return await self._one_life()
        except OSError as error:  # no memory or no room for a process now; the others go on
            return os.EX_OSERR, f"a process cannot be started ({error.strerror})"

    async def _one_life(self) -> tuple[int, str]:
        """Start it, and return when it ended: its exit code, and why, if it said so."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "lid"),
            *(() if self.core is None else ("--kern", str(self.core))),
            env=self.environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the parent, which then asks the children
        )
        saying = cast("asyncio.StreamReader", process.stdout)
        try:
            said = await saying.readline()
            if said == READY:
                self.ready.set()
                said = b""
            said += await saying.read()
            return await process.wait(), said.decode(errors="replace").strip()
        finally:
            await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ask it to stop, and make it when it does not."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(KILL_AFTER_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
