"""On what did this run? The machine, and the versions of all that took part."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path

from bench.contestants import CAMEL, FASTSTREAM
from bench.servers import Servers, version_of_postgres, version_of_rabbitmq


def describe(servers: Servers) -> dict[str, str]:
    """For the head of the results."""
    return {
        "cpu": _first("/proc/cpuinfo", "model name"),
        "cores": str(os.cpu_count()),
        "memory": _first("/proc/meminfo", "MemTotal"),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "postgresql": version_of_postgres(servers),
        "rabbitmq": version_of_rabbitmq(servers),
        "jdk": _jdk(),
        "camel": _camel(),
        "faststream": _faststream(),
        # of others too: figures of a machine that is busy are not figures of the gateway
        "load_before": " ".join(f"{each:.2f}" for each in os.getloadavg()),
    }


def _first(file: str, key: str) -> str:
    for line in Path(file).read_text(encoding="utf-8").splitlines():
        if line.startswith(key):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def _jdk() -> str:
    try:
        said = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "none"
    return said.stderr.splitlines()[0] if said.stderr else "none"


def _camel() -> str:
    found = [re.search(r"camel-main-(.+)\.jar", each.name) for each in CAMEL.glob("lib/*.jar")]
    return next((match[1] for match in found if match), "none")


def _faststream() -> str:
    if not FASTSTREAM.exists():
        return "none"
    ask = "import importlib.metadata as m; print(m.version('faststream'), m.version('fastapi'))"
    said = subprocess.run([str(FASTSTREAM), "-c", ask], capture_output=True, text=True, check=False)
    return said.stdout.strip().replace(" ", ", FastAPI ") or "none"
