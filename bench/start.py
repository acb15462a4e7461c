"""``start``: how long from the start of a process until it says that it is ready?"""

from __future__ import annotations

import compileall
import subprocess
import sys
import sysconfig
import time
from statistics import median

import httpx

from bench.accounting import cpu_seconds
from bench.burst import Figures
from bench.contestants import parties
from bench.setting import Setting
from fixtures.running import ROOT
from fixtures.world import World, lay_out, process_environment

GOAL_SECONDS = 2.0
GIVES_UP = 30.0


def measure(setting: Setting) -> Figures:
    """On SQLite, and on PostgreSQL with RabbitMQ; compiled, as the image is."""
    compileall.compile_dir(ROOT / "gateway", quiet=1)
    compileall.compile_dir(sysconfig.get_path("purelib"), quiet=2)
    database = setting.servers.database(with_table=False)
    worlds = {
        "SQLite": lay_out(setting.folder / "start-sqlite", parties("postbus"), pki=setting.pki),
        "PostgreSQL + RabbitMQ": lay_out(
            setting.folder / "start-postgres",
            parties("queue"),
            pki=setting.pki,
            ledger=database,
            broker=setting.servers.broker(),
        ),
    }
    found: Figures = {}
    starts = setting.plan.starts
    with setting.step("start", starts * len(worlds)) as advance:
        for name, world in worlds.items():
            seconds, spent = [], []
            for _ in range(starts):
                wall, cpu = _once(world)
                seconds.append(wall)
                spent.append(cpu)
                advance(1)
            found[name] = {
                "median_seconds": median(seconds),
                "cpu_seconds": median(spent),
                "most_seconds": max(seconds),
                "goal": GOAL_SECONDS,
                "met": median(seconds) < GOAL_SECONDS,
            }
    setting.servers.forget(database)
    return found


def _once(world: World) -> tuple[float, float]:
    """Seconds that passed, and CPU seconds that it took."""
    command = [sys.executable, "-m", "gateway", "dienst"]
    ready = f"{world.settings.url}/health/ready"
    with (world.folder / "gateway.log").open("ab") as log, httpx.Client(timeout=1) as client:
        began = time.monotonic()
        process = subprocess.Popen(
            command, cwd=ROOT, env=process_environment(world), stdout=log, stderr=log
        )
        try:
            while time.monotonic() - began < GIVES_UP and process.poll() is None:
                try:
                    if client.get(ready).status_code == httpx.codes.OK:
                        return time.monotonic() - began, cpu_seconds([process.pid])
                except httpx.HTTPError:
                    pass
                time.sleep(0.005)
            raise SystemExit("the gateway did not become ready")
        finally:
            process.terminate()
            process.wait(timeout=30)
