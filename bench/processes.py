"""``processes``: do more processes cost more CPU per message? One, two and four, by one command."""

from __future__ import annotations

from statistics import median

from bench.burst import Documents, Figures, burst
from bench.contestants import gateway
from bench.setting import Setting

COUNTS = (1, 2, 4)
TOLERANCE = 0.10
EACH = 32
"""Connections per process: there are more of them for more load, not for the same."""


def measure(setting: Setting) -> Figures:
    """Messages per CPU second of the gateway's own processes; medians over the rounds."""
    plan = setting.plan
    runs: dict[int, list[Figures]] = {count: [] for count in COUNTS}
    with (
        setting.documents(plan.warm + 2 * plan.messages, setting.size("10 KB")) as path,
        setting.step("processes", len(COUNTS) * plan.rounds) as advance,
    ):
        for number in range(plan.rounds):
            for count in COUNTS[:: -1 if number % 2 else 1]:
                runs[count].append(_run(setting, count, Documents(path)))
                advance(1)
    found = [{"processes": count, **_middle(each)} for count, each in runs.items()]
    for each in found:
        each["per_cpu_second"] = 1e6 / each["own_us"]
    one = found[0]["per_cpu_second"]
    spread = max(abs(each["per_cpu_second"] / one - 1) for each in found)
    each_run = [{"processes": count, **run} for count, kept in runs.items() for run in kept]
    return {
        "runs": found,
        "each": each_run,
        "spread": spread,
        "goal": TOLERANCE,
        "met": spread <= TOLERANCE,
    }


def _run(setting: Setting, count: int, documents: Documents) -> Figures:
    plan, connections = setting.plan, EACH * count
    with gateway(setting.servers, setting.pki, count) as running:
        burst(setting.servers, running, documents, plan.warm, connections=connections)
        return burst(
            setting.servers, running, documents, 2 * plan.messages, connections=connections
        )


def _middle(runs: list[Figures]) -> Figures:
    return {
        name: median(run[name] for run in runs)
        for name, value in runs[0].items()
        if isinstance(value, float)
    }
