"""What did a process cost? CPU time and resident memory of process trees, read from /proc."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Process:
    """One line of the process table.

    Attributes:
        cpu: Seconds of itself and of the children that it has waited for.
    """

    pid: int
    parent: int
    name: str
    cpu: float
    rss: int


def table() -> dict[int, Process]:
    """Every process of the machine by its number."""
    found = {}
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            one = _read(folder)
            if one is not None:
                found[one.pid] = one
    return found


def _read(folder: Path) -> Process | None:
    try:
        text = (folder / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    name = text[text.index("(") + 1 : text.rindex(")")]
    rest = text[text.rindex(")") + 2 :].split()
    cpu = sum(int(rest[at]) for at in (11, 12, 13, 14)) / TICKS
    return Process(int(folder.name), int(rest[1]), name, cpu, int(rest[21]) * PAGE)


def tree(roots: Iterable[int], known: dict[int, Process] | None = None) -> list[Process]:
    """These processes and all that descend from them."""
    known = table() if known is None else known
    children: dict[int, list[int]] = {}
    for one in known.values():
        children.setdefault(one.parent, []).append(one.pid)
    waiting, found = list(roots), []
    while waiting:
        pid = waiting.pop()
        if pid in known:
            found.append(known[pid])
            waiting += children.get(pid, [])
    return found


def cpu_seconds(roots: Iterable[int]) -> float:
    """What these processes and their descendants used since they began."""
    return sum(one.cpu for one in tree(roots))


def resident_mib(roots: Iterable[int]) -> float:
    """Resident memory of the largest of these processes and their descendants, in MiB."""
    return max((one.rss for one in tree(roots)), default=0) / 2**20


def servers_below(pid: int, name: str) -> list[int]:
    """The topmost processes of this name below ``pid``: a server without its own children."""
    known = table()
    below = tree([pid], known)
    return [
        one.pid
        for one in below
        if one.name == name and (one.parent not in known or known[one.parent].name != name)
    ]


def threads(pid: int) -> dict[int, float]:
    """CPU seconds of each thread by its number."""
    found = {}
    for folder in (PROC / str(pid) / "task").iterdir():
        try:
            text = (folder / "stat").read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        rest = text[text.rindex(")") + 2 :].split()
        found[int(folder.name)] = (int(rest[11]) + int(rest[12])) / TICKS
    return found
