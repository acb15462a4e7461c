"""A process that crashes leaves no memory on the disk, whichever command it runs."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from fixtures.running import ROOT, as_process
from fixtures.world import World, free_ports, process_environment
from tests.conftest import CANARIES, NewWorld
from tests.e2e.here import a_notice, reference_of, started
from tests.servers.process import dies_with_us, wait_until

LIMITS = "Max core file size"
FILTER = Path("/proc/self/coredump_filter")


class Cores(NamedTuple):
    """What the kernel may keep of a process that crashes.

    Attributes:
        limit: In bytes. Of 0 a program that collects cores takes no notice; of 1 it does.
        memory: Which parts of the memory, as the mask of ``coredump_filter``.
    """

    limit: str
    memory: int


def cores_of(pid: int | str) -> Cores:
    """What the kernel may keep of this process."""
    limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
    limit = next(line for line in limits if line.startswith(LIMITS)).split()[5]
    return Cores(limit, int(Path(f"/proc/{pid}/coredump_filter").read_text(), 16))


def none() -> Cores:
    """Nothing; where not even 1 may be set, 0 is what it inherits."""
    return Cores("0" if cores_of("self").limit == "0" else "1", 0)


@pytest.fixture(autouse=True)
def inherited() -> Iterator[None]:
    """What is started here would leave its memory, whatever was done to this process before."""
    before = cores_of("self").memory
    FILTER.write_text("0x33")
    yield
    FILTER.write_text(f"{before:#x}")


@pytest.mark.database
def test_each_of_several_processes_leaves_no_core(
    tmp_path: Path, new_world: NewWorld, postgres_url: str
) -> None:
    first = str(free_ports(2))
    world = new_world(tmp_path / "gateway", ledger=postgres_url, processes="2", admin_port=first)

    with as_process(world) as parent:
        found = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        cores = [cores_of(pid) for pid in (str(parent.pid), *found)]

    assert cores == [none()] * 3


def test_a_command_that_opens_content_leaves_no_core(tmp_path: Path, new_world: NewWorld) -> None:
    world, pipe = new_world(tmp_path / "gateway"), tmp_path / "pakket"
    number = asyncio.run(accepted(world))
    os.mkfifo(pipe)  # it waits here, with the content in its memory, until somebody reads
    words = ("bewijs", "toon", number, "--met-inhoud", "--pakket", str(pipe))

    command = subprocess.Popen(
        [*dies_with_us(), sys.executable, "-m", "gateway", *words],
        cwd=ROOT,
        env=process_environment(world),
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: cores_of(command.pid) == none(), within=30, what="no core may be left")
        shown = subprocess.run(["cat", pipe], capture_output=True, timeout=60, check=True).stdout
    finally:
        command.terminate()
        command.wait(30)

    assert [canary for canary in CANARIES if canary.encode() in shown]


async def accepted(world: World) -> str:
    """The referentienummer of a message that lies in the ledger."""
    made = a_notice()
    async with started(world) as here:
        assert (await here.post(here.written(made))).status_code == httpx.codes.ACCEPTED
    return reference_of(made)
