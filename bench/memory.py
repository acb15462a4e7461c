"""``memory``: is resident memory small, and flat, at bodies up to 100 KB?"""

from __future__ import annotations

import threading
import time

from bench import corpus
from bench.accounting import resident_mib
from bench.burst import Documents, Figures, burst
from bench.contestants import Running, gateway
from bench.setting import Setting

GOAL_MIB = 200.0
FLAT = 0.05
"""Growth from the second third of the run to the last."""
PORTION = 500
PACE = 300
"""Documents that are ready per second of the run."""


def measure(setting: Setting) -> Figures:
    """Half small, four in ten of 10 KB, one in ten of 95 KB, for so many seconds."""
    plan = setting.plan
    small, middle = setting.size("3.6 KB"), setting.size("10 KB")
    large = corpus.size("95 KB", corpus.LARGE, setting.catalogue, setting.pki)
    pattern = (*[small] * 5, *[middle] * 4, large)
    most = PORTION + PACE * plan.memory_seconds
    with (
        setting.documents(most, *pattern) as path,
        gateway(setting.servers, setting.pki) as running,
        setting.step("memory", plan.memory_seconds) as advance,
    ):
        watched = Watched(running)
        if running.queue is not None:
            running.queue.start_emptying()
        documents, sent = Documents(path), 0
        began = last = time.monotonic()
        while last - began < plan.memory_seconds and sent + PORTION <= most:
            burst(setting.servers, running, documents, PORTION)
            sent += PORTION
            now = time.monotonic()
            advance(round(now - last))
            last = now
        series = watched.stop()
    return judged(series, sent)


class Watched:
    """Samples the resident memory once a second."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._ended = threading.Event()
        self._series: list[float] = []
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._ended.wait(1):
            self._series.append(round(resident_mib(self._running.pids), 1))

    def stop(self) -> list[float]:
        self._ended.set()
        self._thread.join()
        return self._series


def judged(series: list[float], sent: int) -> Figures:
    """Largest of the run, and growth in its last third."""
    third = len(series) // 3
    growth = max(series[2 * third :]) / max(series[third : 2 * third]) - 1
    most = max(series)
    return {
        "messages": sent,
        "most_mib": most,
        "growth": growth,
        "goal_mib": GOAL_MIB,
        "goal_growth": FLAT,
        "met": most < GOAL_MIB and growth <= FLAT,
        "series_mib": series,
    }
