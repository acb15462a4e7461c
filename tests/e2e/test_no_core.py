"""A process that crashes leaves no memory on the disk, whichever command it runs."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from fixtures.running import ROOT, as_process
from fixtures.world import World, free_ports, process_environment
from tests.conftest import CANARIES, NewWorld
from tests.e2e.here import a_notice, reference_of, started
from tests.required import lacking
from tests.servers.process import dies_with_us, wait_until

LIMITS = "Max core file size"


def cores_of(pid: str) -> tuple[str, ...]:
    """How much the kernel may write of a process that crashes: now, and at most."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return tuple(next(line for line in lines if line.startswith(LIMITS)).split()[4:6])


@pytest.fixture(autouse=True)
def allowed() -> None:
    """What a process inherits says nothing of what it does."""
    if cores_of("self")[1] == "0":
        lacking("no process may leave a core here; raise the hard limit (ulimit -Hc)")


@pytest.mark.database
def test_each_of_several_processes_leaves_no_core(
    tmp_path: Path, new_world: NewWorld, postgres_url: str
) -> None:
    first = str(free_ports(2))
    world = new_world(tmp_path / "gateway", ledger=postgres_url, processes="2", admin_port=first)

    with as_process(world) as parent:
        found = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        limits = [cores_of(pid) for pid in (str(parent.pid), *found)]

    assert limits == [("0", "0")] * 3


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
        wait_until(
            lambda: cores_of(str(command.pid)) == ("0", "0"), within=30, what="no core may be left"
        )
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
