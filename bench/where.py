"""``where``: where does the time of the gateway's process go? By thread, and by module.

The kernel counts the CPU time of each thread. Where py-spy is installed it names the threads
and says in which module of the gateway the samples fell; without it only the counts are told.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.accounting import threads
from bench.burst import Documents, Figures, burst
from bench.contestants import VENV, gateway
from bench.setting import Setting

PY_SPY = VENV / "bin" / "py-spy"
RATE = 200
TOP = 20
_MODULE = re.compile(r"\([^()]*/(gateway/[\w/]+)\.py:")


def measure(setting: Setting) -> Figures:
    """A burst at 10 KB, watched."""
    plan = setting.plan
    count = 2 * plan.messages
    with (
        setting.documents(plan.warm + 2 * count, setting.size("10 KB")) as path,
        gateway(setting.servers, setting.pki) as running,
        setting.step("where", 3) as advance,
    ):
        documents = Documents(path)
        burst(setting.servers, running, documents, plan.warm)
        advance(1)
        pid = running.pids[0]
        names, before = _names(pid), threads(pid)
        figures = burst(setting.servers, running, documents, count)
        used: dict[str, float] = {}
        for number, seconds in threads(pid).items():
            spent = (seconds - before.get(number, 0)) / count * 1e6
            name = names.get(number, "MainThread" if number == pid else "unnamed")
            used[name] = used.get(name, 0) + spent
        advance(1)
        with _sampling(setting.folder / "samples", pid) as samples:  # apart: watching costs
            burst(setting.servers, running, documents, count)
        advance(1)
    return {
        "own_us": figures["own_us"],
        "threads_us": dict(sorted(used.items(), key=lambda each: -each[1])),
        "modules": shares(samples.read_text() if samples.exists() else ""),
    }


def _names(pid: int) -> dict[int, str]:
    """The names that Python gave its threads, by the kernel's numbers."""
    if not PY_SPY.exists():
        return {}
    said = subprocess.run(
        [str(PY_SPY), "dump", "--json", "--pid", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    if said.returncode:
        return {}
    return {
        each["os_thread_id"]: re.sub(r"_\d+$", "", each["thread_name"] or "unnamed")
        for each in json.loads(said.stdout)
        if each.get("os_thread_id")
    }


@contextmanager
def _sampling(file: Path, pid: int) -> Iterator[Path]:
    """Samples of what the process does, as stacks with counts."""
    if not PY_SPY.exists():
        yield file
        return
    command = [str(PY_SPY), "record", "--format", "raw", "--rate", str(RATE), "--full-filenames"]
    process = subprocess.Popen(
        [*command, "--duration", "600", "--pid", str(pid), "--output", str(file)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield file
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


def shares(raw: str) -> dict[str, float]:
    """The share of the samples per module of the gateway: the innermost one of each stack."""
    counts: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        modules = _MODULE.findall(stack)
        counts[modules[-1] if modules else "outside the gateway"] += int(count)
    total = sum(counts.values()) or 1
    return {name: count / total for name, count in counts.most_common(TOP)}
