"""``race``: the gateway beside the floor, FastStream and Camel; same documents, same servers."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from statistics import median
from typing import Any

from bench.burst import Documents, Figures, burst
from bench.contestants import (
    CAMEL_NAME,
    FASTSTREAM_NAME,
    FASTSTREAM_TWO,
    FLOOR,
    GATEWAY,
    GATEWAY_TWO,
    Running,
    Start,
    available,
)
from bench.corpus import SIZES
from bench.setting import Setting, screen

CONNECTIONS = (16, 32, 64)
USUAL = 32
WARM_PORTIONS, MOST_PORTIONS = 3, 9
STEADY = 0.95
"""A portion that costs less than so much of the one before says: not warm yet."""
GOALS = {FLOOR: 0.65, FASTSTREAM_NAME: 1.2, FASTSTREAM_TWO: None, CAMEL_NAME: 1.5}
"""Least ratio of the gateway to each, at 10 KB and the usual number of connections."""
OURS = (GATEWAY, GATEWAY_TWO)
"""The ways to run the gateway that are told beside the others; the goals are the same."""


def measure(setting: Setting) -> Figures:
    """Every contestant, size and number of connections; medians over the rounds."""
    starts, missing = available()
    for sentence in missing:
        screen.print(sentence)
    plan = setting.plan
    runs: list[Figures] = []
    each = plan.warm // WARM_PORTIONS * MOST_PORTIONS + len(CONNECTIONS) * plan.messages
    for size in SIZES:
        with (
            setting.documents(each, setting.size(size)) as path,
            setting.step(f"race at {size}", plan.rounds * len(starts)) as advance,
        ):
            for number in range(plan.rounds):
                for name in _turned(list(starts), number):
                    found = _runs(setting, starts[name], Documents(path), number)
                    runs += [{"contestant": name, "size": size, **one} for one in found]
                    advance(1)
    middle = _medians(runs)
    return {"missing": missing, "medians": middle, "ratios": ratios(middle), "runs": runs}


def _turned(names: list[str], by: int) -> list[str]:
    """Another order each round: the last becomes the first, and so on."""
    by %= len(names)
    return names[-by:] + names[:-by] if by else names


def _runs(setting: Setting, start: Start, documents: Documents, number: int) -> Iterator[Figures]:
    plan = setting.plan
    with start(setting.servers, setting.pki) as running:
        _warm_up(setting, running, documents)
        at = number % len(CONNECTIONS)
        for connections in (*CONNECTIONS[at:], *CONNECTIONS[:at]):
            yield burst(setting.servers, running, documents, plan.messages, connections=connections)


def _warm_up(setting: Setting, running: Running, documents: Documents) -> None:
    """At least the warm-up of the plan, and on until a message gets no cheaper."""
    before = 0.0
    for number in range(MOST_PORTIONS):
        figures = burst(setting.servers, running, documents, setting.plan.warm // WARM_PORTIONS)
        steady = figures["own_us"] >= STEADY * before
        if number + 1 >= WARM_PORTIONS and steady:
            return
        before = figures["own_us"]


def speed(figures: Figures) -> float:
    """Messages a second from the first byte to the last confirm of the broker."""
    return float(figures["offered_per_second"])


def _medians(runs: list[Figures]) -> list[Figures]:
    groups: dict[tuple[str, str, int], list[Figures]] = {}
    for run in runs:
        key = (run["contestant"], run["size"], run["connections"])
        groups.setdefault(key, []).append(run)
    return [
        {
            "contestant": contestant,
            "size": size,
            "connections": connections,
            "rounds": len(group),
            **{
                name: median(one[name] for one in group)
                for name, value in group[0].items()
                if isinstance(value, float)
            },
        }
        for (contestant, size, connections), group in groups.items()
    ]


def ratios(middle: list[Figures]) -> list[dict[str, Any]]:
    """The gateway's speed as a share of each other's: at 32 connections, and best to best."""
    found = []
    for size, (other, goal), ours in product(SIZES, GOALS.items(), OURS):
        own, theirs = _of(middle, size, ours), _of(middle, size, other)
        if not theirs or not own:
            continue
        usual = _usual(own) / _usual(theirs)
        found.append(
            {
                "size": size,
                "other": other,
                "ours": ours,
                "ratio": usual,
                "best_to_best": max(map(speed, own)) / max(map(speed, theirs)),
                "goal": goal,
                "met": None if goal is None else usual >= goal,
            }
        )
    return found


def _of(middle: list[Figures], size: str, contestant: str) -> list[Figures]:
    return [one for one in middle if (one["size"], one["contestant"]) == (size, contestant)]


def _usual(figures: list[Figures]) -> float:
    return next(speed(one) for one in figures if one["connections"] == USUAL)
