"""Twenty thousand dead letters: listed and replayed by an operator within a fixed memory."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from fixtures.running import ROOT
from fixtures.world import SE, SHV, World, process_environment
from gateway.adapters.clock import utc_now
from gateway.adapters.ledger.ledger import SqlLedger
from gateway.dead_letter import DeadLetterFilter, Stranding
from gateway.delivery import Reason
from tests.conformance.submissions import admitting, strangers_to_each_other
from tests.conftest import NewWorld
from tests.fault.conftest import Counts

DEAD = 20_000
GROWTH_MIB = 25
"""What a command may take more for twice as many: it goes by portions of a fixed size."""

AT_ONCE = 1_000
CAP_MIB = 250
"""What the operator's command may take; loading the contract alone takes about a hundred."""


def strew(ledger: SqlLedger) -> None:
    """Record so many messages for the creditor, and have each stranded."""
    for first in range(1, DEAD, AT_ONCE):
        batch = strangers_to_each_other(AT_ONCE, first, afzender=SHV, ontvanger=SE)
        ledger.record(batch, admitting(), utc_now())
        ledger.strand(
            [Stranding(one.delivery_id, Reason.GEWEIGERD, "", utc_now()) for one in batch]
        )


def operator(world: World, *arguments: str) -> tuple[str, float]:
    """Run one command in a process of its own; gives what it said and its peak in MiB.

    The peak is asked of the kernel while it runs: what it tells afterwards includes the memory
    of the process that forked it.
    """
    command = [sys.executable, "-m", "gateway", "gestrand", *arguments]
    said, peak = world.folder / "operator.txt", 0.0
    with said.open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=process_environment(world), stdout=out)
        while process.poll() is None:
            peak = max(peak, high_water_mib(process.pid))
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.01)
    assert process.returncode == 0
    assert peak > 0
    return said.read_text(), peak


def high_water_mib(pid: int) -> float:
    """What a running process had in memory at most; 0 once it has ended."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+([0-9]+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


def lists(world: World) -> tuple[str, float]:
    """What an operator sees who looks what is dead."""
    return operator(world, "lijst", "--ontvanger", SE)


def replays(world: World) -> tuple[int, float]:
    """How many one command replays that is to replay all, and its peak in MiB."""
    said, peak = operator(world, "herhaal", "--alles", "--ontvanger", SE, "--waarom", "hersteld")
    told = re.search(r"(\d+) herhaald", said)
    assert told, said
    return int(told[1]), peak


@pytest.mark.timeout(240)
def test_very_many_dead_letters_are_replayed_once_each_within_a_fixed_memory(
    tmp_path: Path, new_world: NewWorld, counts: Counts
) -> None:
    world = new_world(tmp_path / "gateway")
    with closing(world.ledger()) as ledger:
        strew(ledger)

        listed, peak_of_list = lists(world)
        began = time.monotonic()
        commands = [replays(world)]
        _, peak_of_half = lists(world)
        while ledger.count_dead_letters(DeadLetterFilter()):
            commands.append(replays(world))
        seconds = time.monotonic() - began
        standing = ledger.overview()["parties"]

    replayed, peaks = zip(*commands, strict=True)
    assert sum(replayed) == DEAD
    assert standing == {SE: {"wacht": DEAD}}
    assert str(DEAD) in listed
    assert max(*peaks, peak_of_list) < CAP_MIB
    assert len(commands) > 1
    assert peaks[0] - peaks[-1] < GROWTH_MIB, "the more lie there, the more it takes"
    assert peak_of_list - peak_of_half < GROWTH_MIB, "the more lie there, the more it takes"
    counts(
        "replay of very many",
        dead_letters=DEAD,
        commands=len(commands),
        per_s=round(DEAD / seconds),
        peak_mib=round(max(peaks)),
        peak_of_last_mib=round(peaks[-1]),
        peak_of_list_mib=round(peak_of_list),
        peak_of_list_of_half_mib=round(peak_of_half),
    )
