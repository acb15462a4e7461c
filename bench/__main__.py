"""``make bench``: microseconds per station, and messages per second on both ledgers.

Everything in one run, side by side: the gateway as a process of its own with its default
settings (fsync on), the load from another process, both on this machine.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench import stations
from bench.corpus import Size, signed, sizes
from bench.load import write_corpus
from fixtures.pki import Pki, make
from fixtures.running import ROOT, as_process
from fixtures.world import SE, SHV, Entry, World, lay_out
from gateway.adapters.ledger.ledger import open_ledger
from gateway.schemas import Catalogue
from tests.servers.postgres import Postgres, _binaries
from tests.servers.rabbitmq import RabbitMQ

MESSAGES = int(os.environ.get("BENCH_MESSAGES", "3000"))
CONNECTIONS = 32
RESULTS = ROOT / "bench" / "results"
CONFIGURATIONS = {"SQLite, postbus": "postbus", "PostgreSQL + RabbitMQ, queue": "queue"}
Figures = dict[str, Any]

screen = Console(width=110, highlight=False)


def parties(channel: str) -> list[Entry]:
    """A creditor that sends and an SHV that receives on this channel."""
    more = {"bevestiging": '"geen"'} if channel == "queue" else {}
    return [
        Entry(SE, "Energie Voorbeeld B.V.", "schuldeiser", vorm="xml"),
        Entry(SHV, "Gemeente Voorbeeldstad", "shv-fase-2", kanaal=channel, more=more),
    ]


def throughput(world: World, size: Size, corpus: Path, *, offered: bool) -> Figures:
    """Post a corpus as fast as it goes; where asked, until the broker has it all too."""
    with as_process(world):
        began = time.perf_counter()
        command = [sys.executable, "-m", "bench.load", world.settings.url, str(corpus)]
        done = subprocess.run(
            [*command, str(CONNECTIONS)], cwd=ROOT, capture_output=True, text=True, check=True
        )
        figures: Figures = json.loads(done.stdout)
        if figures["statuses"] != {"202": MESSAGES}:
            raise SystemExit(f"not everything was accepted: {figures['statuses']}")
        if offered:
            until_offered(world)
            figures["offered_per_second"] = MESSAGES / (time.perf_counter() - began)
    figures["accepted_per_second"] = MESSAGES / float(str(figures["seconds"]))
    figures["body_bytes"] = size.body_bytes
    return figures


def until_offered(world: World, seconds: float = 120) -> None:
    """Wait until nothing waits for the recipient any more."""
    ledger = open_ledger(world.settings.ledger)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        counts = ledger.overview()["parties"].get(SHV, {})
        if counts.get("aangeboden", 0) == MESSAGES:
            ledger.close()
            return
        time.sleep(0.05)
    raise SystemExit(f"not everything reached the broker: {counts}")


@contextmanager
def servers(folder: Path) -> Iterator[tuple[Postgres, RabbitMQ]]:
    """A private PostgreSQL (fsync on) and a private RabbitMQ."""
    with ExitStack() as stack:
        for name in ("postgres", "rabbitmq"):
            (folder / name).mkdir()
        postgres = Postgres(_binaries(), folder / "postgres", durable=True)
        postgres.initialise()
        postgres.start()
        stack.callback(postgres.stop)
        rabbitmq = RabbitMQ(folder / "rabbitmq")
        stack.callback(rabbitmq.close)
        rabbitmq.start()
        yield postgres, rabbitmq


def main() -> None:
    """Measure, print, keep."""
    catalogue = Catalogue.load()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pki = make(folder / "pki")
        found = sizes(catalogue, pki)
        results: Figures = {"machine": machine(), "at": datetime.now(UTC).isoformat()}
        results["stations"] = measure_stations(folder, catalogue, pki, found)
        results["throughput"] = measure_throughput(folder, catalogue, pki, found)
    RESULTS.mkdir(exist_ok=True)
    kept = RESULTS / f"{datetime.now(UTC):%Y-%m-%d}.json"
    kept.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    screen.print(f"Kept in {kept.relative_to(ROOT)}.")


def measure_stations(
    folder: Path, catalogue: Catalogue, pki: Pki, found: list[Size]
) -> dict[str, dict[str, float]]:
    """Both sizes, as a table."""
    world = lay_out(folder / "stations", parties("postbus"), pki=pki)
    ledger = open_ledger(world.settings.ledger)
    _, text = ledger.directory()
    ledger.close()
    measured = {size.name: stations.measure(world, text, catalogue, pki, size) for size in found}
    table = Table(title="Microseconds per station (median, one core)", title_justify="left")
    table.add_column("station")
    for size in found:
        table.add_column(f"{size.body_bytes} bytes", justify="right")
    for station in measured[found[0].name]:
        table.add_row(station, *(f"{measured[size.name][station]:.0f}" for size in found))
    screen.print(table)
    return measured


def measure_throughput(
    folder: Path, catalogue: Catalogue, pki: Pki, found: list[Size]
) -> dict[str, dict[str, Figures]]:
    """Both ledgers and both sizes, as a table."""
    table = Table(title=f"{MESSAGES} messages over {CONNECTIONS} connections", title_justify="left")
    for column in ("configuration", "body", "accepted/s", "offered/s", "p50 ms", "p99 ms"):
        table.add_column(column, justify="right" if column != "configuration" else "left")
    kept: dict[str, dict[str, Figures]] = {}
    with tempfile.TemporaryDirectory() as place, servers(opened(Path(place))) as (postgres, rabbit):
        for size in found:
            corpus = folder / f"corpus-{size.body_bytes}"
            for name, channel in CONFIGURATIONS.items():
                bodies = [
                    signed(catalogue, pki, size.claims)
                    for _ in track(range(MESSAGES), f"signing for {name}", console=screen)
                ]
                write_corpus(corpus, bodies)
                vhost = f"bench-{size.body_bytes}"
                rabbit.add_vhost(vhost)
                world = lay_out(
                    folder / f"{channel}-{size.body_bytes}",
                    parties(channel),
                    pki=pki,
                    ledger=postgres.url(postgres.create()) if channel == "queue" else None,
                    broker=rabbit.url(vhost) if channel == "queue" else "",
                )
                figures = throughput(world, size, corpus, offered=channel == "queue")
                kept.setdefault(name, {})[size.name] = figures
                table.add_row(
                    name,
                    str(size.body_bytes),
                    f"{figures['accepted_per_second']:.0f}",
                    f"{figures['offered_per_second']:.0f}" if channel == "queue" else "",
                    f"{figures['p50_ms']:.0f}",
                    f"{figures['p99_ms']:.0f}",
                )
    screen.print(table)
    return kept


def opened(folder: Path) -> Path:
    """A folder that the unprivileged owner of a server may enter."""
    folder.chmod(0o755)
    return folder


def machine() -> dict[str, str]:
    """What this ran on."""
    cpu = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="ascii").splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return {
        "cpu": cpu,
        "cores": str(os.cpu_count()),
        "kernel": platform.release(),
        "python": platform.python_version(),
        # of others too: figures of a machine that is busy are not figures of the gateway
        "load_before": f"{os.getloadavg()[0]:.2f}",
    }


if __name__ == "__main__":
    main()
