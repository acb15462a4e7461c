"""One measured burst: so many messages to a contestant, and what they cost everybody."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import asking
from bench.accounting import cpu_seconds, resident_mib
from bench.contestants import Running
from bench.servers import Servers
from fixtures.running import ROOT

ARRIVES_WITHIN = 120.0
Figures = dict[str, Any]


@dataclass
class Documents:
    """A corpus file, and how far it was used."""

    path: Path
    used: int = 0

    def take(self, count: int) -> int:
        """The number of the first of so many unused documents."""
        first, self.used = self.used, self.used + count
        return first


def burst(
    servers: Servers,
    running: Running,
    documents: Documents,
    count: int,
    *,
    connections: int = 32,
    rate: float = 0,
) -> Figures:
    """Post so many documents; ends when the broker has them all.

    A gateway is asked first what they answer; that is not measured.

    Raises:
        SystemExit: something was not accepted or did not arrive.
    """
    pids = {
        "own": list(running.pids),
        "postgres": servers.postgres_pids,
        "rabbitmq": servers.rabbitmq_pids,
    }
    first = documents.take(count)
    if running.ledger:
        asking.ask(running.ledger, documents.path, first, count)
    arrived = running.queue.arrived() if running.queue else 0
    before = {name: cpu_seconds(found) for name, found in pids.items()}
    said = _post(running, documents.path, [first, count, connections, rate])
    offered_at = _await(running, arrived + count, said["ended"])
    used = {name: cpu_seconds(found) - before[name] for name, found in pids.items()}
    wall = said["ended"] - said["began"]
    figures: Figures = {
        "messages": count,
        "connections": connections,
        "accepted_per_second": count / wall,
        "p50_ms": said["p50_ms"],
        "p99_ms": said["p99_ms"],
        "max_ms": said["max_ms"],
        "wall_us": wall / count * 1e6,
        "resident_mib": resident_mib(running.pids),
        **{f"{name}_us": seconds / count * 1e6 for name, seconds in used.items()},
    }
    if offered_at is not None:
        figures["offered_per_second"] = count / (offered_at - said["began"])
    return figures


def _post(running: Running, corpus: Path, numbers: list[float]) -> Figures:
    command = [
        *(sys.executable, "-m", "bench.load", str(corpus)),
        *(str(number) for number in numbers),
        *running.urls,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the load ended badly:\n{done.stderr[-2000:]}")
    said: Figures = json.loads(done.stdout)
    if said["statuses"] != {"202": numbers[1]}:
        raise SystemExit(f"not everything was accepted: {said['statuses']}\n{running.last_words()}")
    return said


def _await(running: Running, expected: int, ended: float) -> float | None:
    """When the last message was in the queue; None where there is no queue."""
    if running.queue is None:
        return None
    first, deadline = True, time.monotonic() + ARRIVES_WITHIN
    while (arrived := running.queue.arrived()) < expected:
        first = False
        if time.monotonic() > deadline:
            raise SystemExit(f"{expected - arrived} messages did not reach the broker")
        time.sleep(0.02)
    return ended if first else time.monotonic()
