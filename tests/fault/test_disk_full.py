"""The disk of an SQLite ledger is full: 503, nothing is lost, and it goes on when there is room."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.schemas import Catalogue
from tests.conftest import NewWorld
from tests.fault.conftest import Counts
from tests.fault.gateway_process import GatewayProcess
from tests.fault.promises import everything_holds
from tests.fault.town import Town, a_town, under_load
from tests.required import lacking

pytestmark = pytest.mark.timeout(300)

ROOM_MIB = 4
"""Less than the messages need."""
LARGEST_MIB = 2
"""So large may a file be: less than what SQLite writes before it puts that in its place."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with little room."""
    if os.geteuid() != 0:
        lacking("only root can mount a small disk")
    folder = tmp_path / "schijf"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", f"size={ROOM_MIB}m", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], check=False, capture_output=True)
    if done.returncode:
        lacking("this machine lets nobody mount")


def may_write(process: GatewayProcess, mib: int | None) -> None:
    """Let no file of a running process grow beyond this; None for what it may at most."""
    assert process.process is not None
    pid = process.process.pid
    _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    now = most if mib is None else mib * 1024 * 1024
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (now, most))


async def test_a_full_disk_is_said_and_costs_nothing_that_was_answered(
    new_world: NewWorld, catalogue: Catalogue, tmp_path: Path, small_disk: Path, counts: Counts
) -> None:
    ledger = f"sqlite:///{small_disk / 'gateway.db'}"
    town = a_town(new_world, catalogue, tmp_path / "town", ledger=ledger)

    def give_room(_: GatewayProcess) -> None:
        mount("-o", "remount,size=200m", str(small_disk))

    numbers = await full_and_on(town, lambda _: None, give_room)
    counts("disk full", **numbers)


async def test_a_ledger_file_that_may_not_grow_is_said_and_costs_nothing_that_was_answered(
    new_world: NewWorld, catalogue: Catalogue, tmp_path: Path, counts: Counts
) -> None:
    town = a_town(new_world, catalogue, tmp_path / "town")

    numbers = await full_and_on(
        town,
        lambda process: may_write(process, LARGEST_MIB),
        lambda process: may_write(process, None),
    )
    counts("ledger file may not grow", **numbers)


Step = Callable[[GatewayProcess], None]


async def full_and_on(town: Town, limit: Step, give_room: Step) -> dict[str, int | str]:
    """Send until there is no room, and all the rest when there is; the counts."""
    async with under_load(town) as scene:
        limit(scene.process)
        await scene.load.until_refused()
        at_full = len(scene.load.receipts)
        give_room(scene.process)
        await scene.all_sent()
        held = await everything_holds(town, scene.load, scene.taken)

    assert set(scene.load.failed) == {"503"}
    return {"answered_before": at_full, **held.numbers}
