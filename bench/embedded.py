"""``embedded``: what does the default do, one process with SQLite and the postbus?"""

from __future__ import annotations

from bench.burst import Documents, Figures, burst
from bench.contestants import embedded
from bench.corpus import SIZES
from bench.setting import Setting


def measure(setting: Setting) -> Figures:
    """Both sizes at 32 connections."""
    plan = setting.plan
    found: Figures = {}
    for size in SIZES:
        with (
            setting.documents(plan.warm + 2 * plan.messages, setting.size(size)) as path,
            setting.step(f"embedded at {size}", 2) as advance,
            embedded(setting.servers, setting.pki) as running,
        ):
            documents = Documents(path)
            burst(setting.servers, running, documents, plan.warm)
            advance(1)
            found[size] = burst(setting.servers, running, documents, 2 * plan.messages)
            advance(1)
    return found
