"""An hour at half load with random faults; see what holds.

    python -m tests.soak --minutes 60 [--seed N] [--output FOLDER]

Measures first how many messages a second go through, then runs at half of that. Ends with exit
code 1 when a promise was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import sys
import tempfile
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tests.soak.checking import Verdict, logs, promises, replay_at_intervals
from tests.soak.city import City, a_city
from tests.soak.faults import Fates, Fault
from tests.soak.reporting import as_markdown, told
from tests.soak.watching import Happened, Watch

HERE = Path(__file__).parent
WARM_SECONDS = 5.0
MEASURED_SECONDS = 25.0
GAP_SECONDS = (10.0, 40.0)
QUIET_SECONDS = 3.0
BEHIND_SECONDS = 60.0
"""Measured again when so many seconds' worth of messages have not arrived."""
MEASURED_AGAIN_AFTER = 300.0
LEFT_FOR_THE_LAST = 120.0

console = Console()


async def measure(watch: Watch) -> None:
    """Find how many messages a second arrive in a closed loop, and run at half of it."""
    city = watch.city
    city.pace.rate = None
    await asyncio.sleep(WARM_SECONDS)
    book, begun, at = city.book, time.monotonic(), watch.elapsed
    accepted, arrived = len(book.accepted), book.delivered
    await asyncio.sleep(MEASURED_SECONDS)
    seconds = time.monotonic() - begun
    # what is accepted faster than it is delivered cannot last
    rate = min(len(book.accepted) - accepted, book.delivered - arrived) / seconds
    city.pace.rate = max(1.0, rate / 2)
    watch.measured.append((at, rate))
    console.print(f"Measured {rate:.0f} messages/s; on at {city.pace.rate:.0f}.")


async def faults(watch: Watch, until: float, gap: tuple[float, float]) -> None:
    """One fault after another until this moment, and then until all flows again."""
    city, fates = watch.city, Fates(watch.city)
    recoveries: list[asyncio.Task[None]] = []
    await asyncio.sleep(city.draw.uniform(*gap) / 2)
    while time.monotonic() < until:
        begun = time.monotonic()
        name, fault = fates.next()
        happened = Happened(name, watch.elapsed)
        await _suffered(city, name, fault)
        happened.lasted = time.monotonic() - begun
        watch.faults.append(happened)
        if not console.is_terminal:
            console.print(f"{happened.at / 60:5.1f} min  {name} ({happened.lasted:.0f} s)")
        recoveries.append(asyncio.create_task(watch.until_it_flows(happened)))
        if _fell_behind(watch):
            await asyncio.wait(recoveries, timeout=BEHIND_SECONDS)
            await measure(watch)
        now = time.monotonic()
        pause = max(begun + city.draw.uniform(*gap) - now, QUIET_SECONDS)
        await asyncio.sleep(max(0.0, min(pause, until - now)))
    await asyncio.wait(recoveries, timeout=LEFT_FOR_THE_LAST)
    for each in recoveries:
        each.cancel()


async def _suffered(city: City, name: str, fault: Fault) -> None:
    """One fault; what it should not do to the soak or to a process is a broken promise."""
    try:
        await fault(city)
    except Exception as error:  # noqa: BLE001 the soak goes on and tells it
        city.book.wrong(f"'{name}': {type(error).__name__}: {str(error)[:500]}")
    for each, process in city.processes.items():
        if process.process is None or process.process.poll() is not None:
            city.book.wrong(f"after '{name}' {each} does not run: {process.said()[-500:]}")
            await process.restart()


def _fell_behind(watch: Watch) -> bool:
    rate = watch.city.pace.rate or 1.0
    if watch.elapsed - watch.measured[-1][0] < MEASURED_AGAIN_AFTER:
        return False
    return watch.city.book.behind > BEHIND_SECONDS * rate


async def show(watch: Watch, minutes: float) -> None:
    """A bar on a terminal, a line a minute elsewhere; until cancelled."""
    if console.is_terminal:
        with Progress(
            TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), console=console
        ) as bar:
            task = bar.add_task("", total=minutes * 60)
            while True:
                bar.update(task, completed=watch.elapsed, description=_line(watch))
                await asyncio.sleep(1)
    while True:
        console.print(f"{watch.elapsed / 60:5.1f} min  {_line(watch)}", soft_wrap=True)
        await asyncio.sleep(60)


def _line(watch: Watch) -> str:
    book = watch.city.book
    return (
        f"accepted {len(book.accepted)}, arrived {book.delivered}, again {book.repeats.total()}, "
        f"faults {len(watch.faults)}, replayed {book.replayed}, broken {len(book.violations)}"
    )


async def under_load(watch: Watch, minutes: float, gap: tuple[float, float]) -> None:
    """The whole run until the last conversation has ended."""
    city = watch.city
    beside = [
        asyncio.create_task(each)
        for each in (watch.run(), show(watch, minutes), replay_at_intervals(city))
    ]
    sending = asyncio.create_task(city.senders.run())
    try:
        until = time.monotonic() + minutes * 60
        await measure(watch)
        await faults(watch, until, gap)
        city.senders.enough = True
        await sending
    finally:
        sending.cancel()
        for task in beside:
            task.cancel()
        for how in await asyncio.gather(sending, *beside, return_exceptions=True):
            if isinstance(how, Exception):
                city.book.wrong(f"the soak itself: {type(how).__name__}: {how}")


async def _stopped(city: City) -> Verdict:
    """Every process ends well when it is asked to."""
    said = ""
    for process in city.processes.values():
        with suppress(AssertionError):
            await process.terminate()
            continue
        said += f"{process.roles} "
    return Verdict("elk proces eindigt netjes", not said, said or "3 van 3")


async def soak(
    minutes: float, seed: int, output: Path, note: str, gap: tuple[float, float]
) -> bool:
    """Run it and write the report; whether everything holds."""
    begun = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="gateway-soak-") as folder:
        async with a_city(Path(folder), seed) as city:
            city.book.begun = time.monotonic()
            watch = Watch(city)
            await under_load(watch, minutes, gap)
            console.print(f"Faults have ended; checking. {_line(watch)}", soft_wrap=True)
            verdicts = await promises(city, watch.samples)
            verdicts.append(await _stopped(city))
            lines, quiet = logs(city)
            verdicts.append(quiet)
            made = told(
                watch,
                verdicts,
                lines,
                minuten=minutes,
                seed=seed,
                begonnen=f"{begun:%Y-%m-%d %H:%M} UTC",
                opmerking=note,
            )
    _write(output, made)
    for each in verdicts:
        console.print(f"{'ja ' if each.holds else 'NEE'} {each.what}: {each.said}", soft_wrap=True)
    for wrong in made["gebroken"]:
        console.print(f"broken: {wrong}", soft_wrap=True)
    return all(each.holds for each in verdicts)


def _write(output: Path, made: dict[str, Any]) -> None:
    output.mkdir(parents=True, exist_ok=True)
    (output / "report.json").write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n")
    (output / "report.md").write_text(as_markdown(made))


def main() -> int:
    """Read the arguments, run, and say in the exit code whether it held."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--output", type=Path, default=HERE)
    parser.add_argument("--note", default="Alles draaide op één machine, ook de partijen.")
    parser.add_argument(
        "--gap", type=float, nargs=2, default=GAP_SECONDS, help="seconds from fault to fault"
    )
    given = parser.parse_args()
    gap = (given.gap[0], given.gap[1])
    seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
    # a client that loses its connection says so at length, and here that is the purpose
    for library in ("aio_pika", "aiormq"):
        logging.getLogger(library).setLevel(logging.CRITICAL + 1)
    console.print(f"seed {seed}, {given.minutes:g} minutes")
    return 0 if asyncio.run(soak(given.minutes, seed, given.output, given.note, gap)) else 1


if __name__ == "__main__":
    sys.exit(main())
