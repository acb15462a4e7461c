"""``latency``: how long does a sender wait at half of what the gateway can do?"""

from __future__ import annotations

from bench.burst import Documents, Figures, burst
from bench.contestants import gateway
from bench.setting import Setting

GOAL = 10.0
"""p99 stays below so many times p50."""


def measure(setting: Setting) -> Figures:
    """The highest speed, then a paced sender at half of it."""
    plan = setting.plan
    most = plan.warm + plan.messages + plan.seconds * 1_000
    with (
        setting.documents(most, setting.size("10 KB")) as path,
        setting.step("latency", 3) as advance,
        gateway(setting.servers, setting.pki) as running,
    ):
        documents = Documents(path)
        burst(setting.servers, running, documents, plan.warm)
        advance(1)
        full = burst(setting.servers, running, documents, plan.messages)
        advance(1)
        rate = min(full["offered_per_second"] / 2, 1_000)
        half = burst(setting.servers, running, documents, int(rate * plan.seconds), rate=rate)
        advance(1)
    ratio = half["p99_ms"] / half["p50_ms"]
    return {"full": full, "half": half, "p99_to_p50": ratio, "goal": GOAL, "met": ratio < GOAL}
