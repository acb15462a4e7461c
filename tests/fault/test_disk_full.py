"""The disk of an SQLite ledger is full: 503, nothing is lost, and it goes on when there is room."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.schemas import Catalogue
from tests.conftest import NewWorld
from tests.fault.conftest import Counts
from tests.fault.promises import everything_holds
from tests.fault.town import Town, a_town, under_load
from tests.required import lacking

ROOM = "4m"
"""Less than the messages need."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with little room."""
    if os.geteuid() != 0:
        lacking("only root can mount a small disk")
    folder = tmp_path / "schijf"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], check=False, capture_output=True)
    if done.returncode:
        pytest.skip("this machine lets nobody mount")


@pytest.fixture
def town(new_world: NewWorld, catalogue: Catalogue, tmp_path: Path, small_disk: Path) -> Town:
    return a_town(
        new_world, catalogue, tmp_path / "town", ledger=f"sqlite:///{small_disk / 'gateway.db'}"
    )


@pytest.mark.timeout(300)
async def test_a_full_disk_is_said_and_costs_nothing_that_was_answered(
    town: Town, small_disk: Path, counts: Counts
) -> None:
    async with under_load(town) as scene:
        await scene.load.until_refused()
        at_full = len(scene.load.receipts)
        mount("-o", "remount,size=200m", str(small_disk))
        await scene.all_sent()
        held = await everything_holds(town, scene.load, scene.taken)

    assert set(scene.load.failed) == {"503"}
    counts("disk full", answered_before=at_full, **held.numbers)
