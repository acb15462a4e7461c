"""The figures as one JSON file a day, and as tables for people."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from fixtures.running import ROOT

RESULTS = ROOT / "bench" / "results"
TRIALS = ROOT / "var" / "bench"
Figures = dict[str, Any]


class Kept:
    """What is known of one day; a part that is measured again replaces what was there."""

    def __init__(self, at: datetime, *, quick: bool) -> None:
        folder = TRIALS if quick else RESULTS
        folder.mkdir(parents=True, exist_ok=True)
        self._json = folder / f"{at:%Y-%m-%d}.json"
        self._page = folder / f"{at:%Y-%m-%d}.md"
        self.results: Figures = {}
        if self._json.exists():
            self.results = json.loads(self._json.read_text(encoding="utf-8"))
        if self.results.get("form") != FORM:
            self.results = {}
        self.results |= {"form": FORM, "at": at.isoformat(timespec="seconds"), "quick": quick}

    def keep(self, part: str, figures: object) -> None:
        """Add a part, also to the files: a later part that fails takes nothing with it."""
        self.results[part] = figures
        self.write()

    def write(self) -> str:
        """Both files; returns where."""
        text = json.dumps(self.results, indent=1, default=str)
        self._json.write_text(text + "\n", encoding="utf-8")
        self._page.write_text(page(self.results), encoding="utf-8")
        return f"{self._json.relative_to(ROOT)} and {self._page.name}"


FORM = 3
"""Of the JSON; older files are not added to."""


def page(results: Figures) -> str:
    """Everything that is known, as Markdown."""
    quick = "\nA quick look: far too short to judge by.\n" if results["quick"] else ""
    parts = [f"# Bench of {results['at'][:10]}\n{quick}"]
    parts += [section(name, results[name]) for name in SECTIONS if name in results]
    return "\n".join(parts)


def section(name: str, figures: Any) -> str:
    """One part as Markdown."""
    title, write = SECTIONS[name]
    return f"## {title}\n\n" + "\n".join(write(figures)) + "\n"


def table(heads: list[str], rows: Iterable[list[str]]) -> list[str]:
    """A Markdown table with columns of equal width, for the screen too."""
    lines = [heads, *rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(heads))]
    written = [
        "| "
        + " | ".join(
            text.ljust(width) if at == 0 else text.rjust(width)
            for at, (text, width) in enumerate(zip(line, widths, strict=True))
        )
        + " |"
        for line in lines
    ]
    rule = (
        "|"
        + "|".join("-" * (width + 1) + ("-" if at == 0 else ":") for at, width in enumerate(widths))
        + "|"
    )
    return [written[0], rule, *written[1:]]


def verdict(figures: Figures) -> str:
    met = figures["met"]
    return "" if met is None else "met" if met else "NOT MET"


def _machine(figures: Figures) -> list[str]:
    return table(["what", "value"], [[name, value] for name, value in figures.items()])


def _stations(figures: Figures) -> list[str]:
    sizes = list(figures)
    rows = [
        [station, *(f"{figures[size][station]:.0f}" for size in sizes)]
        for station in figures[sizes[0]]
    ]
    return table(["station", *sizes], rows)


def _start(figures: Figures) -> list[str]:
    return table(
        ["on", "median s", "CPU s", "most s", "goal"],
        [
            [
                name,
                f"{one['median_seconds']:.2f}",
                f"{one['cpu_seconds']:.2f}",
                f"{one['most_seconds']:.2f}",
                f"< {one['goal']:.0f}: {verdict(one)}",
            ]
            for name, one in figures.items()
        ],
    )


COSTS = ["own µs", "PostgreSQL µs", "RabbitMQ µs", "MiB"]


def _costs(one: Figures) -> list[str]:
    values = [one["own_us"], one["postgres_us"], one["rabbitmq_us"], one["resident_mib"]]
    return [f"{value:.0f}" for value in values]


def _speeds(one: Figures) -> list[str]:
    offered = one.get("offered_per_second")
    return [
        f"{one['accepted_per_second']:.0f}",
        "" if offered is None else f"{offered:.0f}",
        f"{one['p50_ms']:.1f}",
        f"{one['p99_ms']:.1f}",
    ]


SPEEDS = ["accepted/s", "offered/s", "p50 ms", "p99 ms"]


def _race(figures: Figures) -> list[str]:
    lines = [*figures["missing"], ""] if figures["missing"] else []
    lines += table(
        ["contestant", "size", "connections", *SPEEDS, *COSTS],
        [
            [one["contestant"], one["size"], str(one["connections"]), *_speeds(one), *_costs(one)]
            for one in figures["medians"]
        ],
    )
    lines += ["", "The gateway's offered/s as a share of that of another:", ""]
    lines += table(
        ["other", "run as", "size", "at 32", "best to best", "goal at 10 KB"],
        [
            [
                one["other"],
                one["ours"],
                one["size"],
                f"{one['ratio']:.2f}",
                f"{one['best_to_best']:.2f}",
                _goal(one),
            ]
            for one in figures["ratios"]
        ],
    )
    return lines


def _goal(one: Figures) -> str:
    if one["goal"] is None or one["size"] != "10 KB":
        return ""
    return f"≥ {one['goal']}: {verdict(one)}"


def _embedded(figures: Figures) -> list[str]:
    rows = [[size, *_speeds(one), *_costs(one)] for size, one in figures.items()]
    return table(["size", *SPEEDS, *COSTS], rows)


def _admission(figures: Figures) -> list[str]:
    return table(
        [
            "ledger",
            "size",
            "examine µs",
            "record µs",
            "of that conversation",
            "rights",
            "share of both",
        ],
        [
            [
                name,
                size,
                f"{one['examine_us']:.0f}",
                f"{one['record_us']:.0f}",
                f"{one['conversation_us']:.0f}",
                f"{one['rights_us']:.0f}",
                f"{one['share']:.1%} (goal < {one['goal']:.0%}: {verdict(one)})",
            ]
            for name, sizes in figures.items()
            for size, one in sizes.items()
        ],
    )


def _evidence(figures: Figures) -> list[str]:
    return table(
        ["ledger", "examine µs", "record µs", "of that evidence", "share of both"],
        [
            [
                name,
                *(f"{one[what]:.0f}" for what in ("examine_us", "record_us", "evidence_us")),
                f"{one['share']:.1%} (goal < {one['goal']:.0%}: {verdict(one)})",
            ]
            for name, one in figures.items()
        ],
    )


def _where(figures: Figures) -> list[str]:
    lines = table(
        ["thread", "µs a message"],
        [[name, f"{spent:.0f}"] for name, spent in figures["threads_us"].items()],
    )
    if figures["modules"]:
        lines += ["", "Samples by the innermost module of the gateway:", ""]
        lines += table(
            ["module", "share"],
            [[name, f"{share:.1%}"] for name, share in figures["modules"].items()],
        )
    return lines


def _processes(figures: Figures) -> list[str]:
    lines = table(
        ["processes", "messages a CPU second", *SPEEDS, *COSTS],
        [
            [
                str(one["processes"]),
                f"{one['per_cpu_second']:.0f}",
                *_speeds(one),
                *_costs(one),
            ]
            for one in figures["runs"]
        ],
    )
    return [*lines, "", _spread(figures)]


def _spread(figures: Figures) -> str:
    return (
        f"Largest difference from the first: {figures['spread']:.1%} "
        f"(goal {figures['goal']:.0%}: {verdict(figures)})."
    )


def _latency(figures: Figures) -> list[str]:
    lines = table(
        ["load", *SPEEDS, "most ms"],
        [
            [name, *_speeds(figures[name]), f"{figures[name]['max_ms']:.1f}"]
            for name in ("full", "half")
        ],
    )
    ratio = f"p99 is {figures['p99_to_p50']:.1f} times p50 at half load"
    return [*lines, "", f"{ratio} (goal < {figures['goal']:.0f}: {verdict(figures)})."]


def _memory(figures: Figures) -> list[str]:
    series = figures["series_mib"]
    step = max(1, len(series) // 12)
    goal = f"< {figures['goal_mib']:.0f} MiB and ≤ {figures['goal_growth']:.0%}"
    most = f"{figures['messages']} messages; at most {figures['most_mib']:.0f} MiB"
    growth = f"{figures['growth']:+.1%} in the last third"
    every = ", ".join(f"{each:.0f}" for each in series[::step])
    return [
        f"{most}, {growth} (goal {goal}: {verdict(figures)}).",
        "",
        f"MiB every {step} s: {every}",
    ]


def _rows(figures: Figures) -> list[str]:
    lines = table(
        [
            "rows",
            "real messages",
            "own µs",
            "PostgreSQL µs",
            "RabbitMQ µs",
            "wall µs",
            "worst p99 ms",
        ],
        [
            [
                str(one["rows"]),
                str(one["messages"]),
                *(
                    f"{one[name]:.0f}"
                    for name in ("own_us", "postgres_us", "rabbitmq_us", "wall_us")
                ),
                f"{one['p99_ms']:.0f}",
            ]
            for one in figures["runs"]
        ],
    )
    return [*lines, "", _spread(figures)]


def _terms(figures: Figures) -> list[str]:
    lines = table(
        ["ledger", "open", "find due, ms", "p99", "none due, ms", "next, ms", "goal"],
        [
            [
                name,
                str(one["open"]),
                f"{one['due_ms']['p50']:.2f} ({one['found']})",
                f"{one['due_ms']['p99']:.2f}",
                f"{one['none_due_ms']['p50']:.2f}",
                f"{one['next_ms']['p50']:.2f}",
                f"< {one['goal_ms']:.0f}: {verdict(one)}",
            ]
            for name, one in figures.items()
        ],
    )
    for name, one in figures.items():
        lines += ["", f"{name} finds what is due by:", "", *(f"    {each}" for each in one["plan"])]
    ten = "while a message comes in ten times a second"
    lines += ["", f"The clock starts again after an outage, {ten}:", ""]
    return lines + table(
        ["ledger", "overdue", "messages", "all, each once", "s", "a second", *WAITS],
        [_outage(name, one["outage"]) for name, one in figures.items()],
    )


WAITS = ["accept before: p50 ms", "during: p50", "p99", "most"]


def _outage(name: str, one: Figures) -> list[str]:
    busy = one["busy_ms"]
    return [
        name,
        str(one["overdue"]),
        str(one["messages"]),
        verdict(one),
        f"{one['seconds']:.0f}",
        f"{one['conversations_per_second']:.0f}",
        f"{one['quiet_ms']['p50']:.0f}",
        *(f"{busy[at]:.0f}" for at in ("p50", "p99", "max")),
    ]


SECTIONS: dict[str, tuple[str, Callable[[Any], list[str]]]] = {
    "machine": ("Machine", _machine),
    "race": ("Race", _race),
    "stations": ("Microseconds per station (median, one core)", _stations),
    "admission": (
        "Rights and the conversation, CPU per message (batches of 32)",
        _admission,
    ),
    "evidence": ("Proving, CPU per message (10 KB, batches of 32)", _evidence),
    "where": ("Where the time goes (10 KB)", _where),
    "processes": ("More processes (10 KB, 32 connections each)", _processes),
    "latency": ("Latency (10 KB)", _latency),
    "memory": ("Memory (3.6, 10 and 95 KB)", _memory),
    "rows": ("A full ledger (3.6 KB)", _rows),
    "terms": ("Open terms, and an outage of the clock", _terms),
    "start": ("From start to ready", _start),
    "embedded": ("The embedded default: SQLite, postbus", _embedded),
}
