"""``processes``: do more processes cost more CPU per message? One, two and four, by one command."""

from __future__ import annotations

from bench.burst import Documents, Figures, burst
from bench.contestants import gateway
from bench.setting import Setting

COUNTS = (1, 2, 4)
TOLERANCE = 0.10
EACH = 32
"""Connections per process: there are more of them for more load, not for the same."""


def measure(setting: Setting) -> Figures:
    """Messages per CPU second of the gateway's own processes."""
    plan = setting.plan
    found = []
    with (
        setting.documents(plan.warm + 2 * plan.messages, setting.size("10 KB")) as path,
        setting.step("processes", len(COUNTS)) as advance,
    ):
        for count in COUNTS:
            documents = Documents(path)
            with gateway(setting.servers, setting.pki, count) as running:
                connections = EACH * count
                burst(setting.servers, running, documents, plan.warm, connections=connections)
                figures = burst(
                    setting.servers, running, documents, 2 * plan.messages, connections=connections
                )
            found.append({"processes": count, "per_cpu_second": 1e6 / figures["own_us"], **figures})
            advance(1)
    one = found[0]["per_cpu_second"]
    spread = max(abs(each["per_cpu_second"] / one - 1) for each in found)
    return {"runs": found, "spread": spread, "goal": TOLERANCE, "met": spread <= TOLERANCE}
