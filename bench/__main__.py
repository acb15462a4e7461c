"""``make bench``: what the gateway does and costs, beside others, on this machine.

    python -m bench all            everything, in one file of results
    python -m bench race latency   only these

bench/README.md says what each measures. ``BENCH_QUICK=1`` gives a short look that is kept
in var/bench/ and proves nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import ModuleType

from bench import (
    admission,
    embedded,
    evidence,
    latency,
    machine,
    memory,
    processes,
    race,
    report,
    rows,
    start,
    stations,
    terms,
    where,
)
from bench.plan import plan
from bench.setting import Setting, opened, screen

PARTS: dict[str, ModuleType] = {
    "stations": stations,
    "admission": admission,
    "evidence": evidence,
    "start": start,
    "race": race,
    "embedded": embedded,
    "where": where,
    "processes": processes,
    "latency": latency,
    "memory": memory,
    "rows": rows,
    "terms": terms,
}


def main(asked: list[str]) -> None:
    """Measure what was asked, print it, and keep it with the machine."""
    unknown = set(asked) - {"all", *PARTS}
    if unknown or not asked:
        sys.exit(f"Choose from: all, {', '.join(PARTS)}.")
    chosen = list(PARTS) if "all" in asked else asked
    wanted = plan()
    kept = report.Kept(datetime.now(UTC), quick=wanted.quick)
    with opened(wanted) as setting:
        kept.keep("machine", machine.describe(setting.servers))
        for name in chosen:
            part: Callable[[Setting], object] = PARTS[name].measure
            began = time.monotonic()
            kept.keep(name, part(setting))
            screen.print(report.section(name, kept.results[name]), soft_wrap=True, markup=False)
            screen.print(f"{name}: {time.monotonic() - began:.0f} s")
    screen.print(f"Kept in {kept.write()}.")


if __name__ == "__main__":
    main(sys.argv[1:] or ["all"])
