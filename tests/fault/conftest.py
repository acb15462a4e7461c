"""What every fault test says in the end: how many, as one table at the end of the run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import pytest


class Counts(Protocol):
    """Tells what a fault test counted: ``counts("leider weg", accepted=300, repeats=7)``."""

    def __call__(self, name: str, **numbers: float | str) -> None: ...


TOLD = pytest.StashKey[list[tuple[str, dict[str, float | str]]]]()


@pytest.fixture
def counts(
    request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> Counts:
    """Keeps these numbers for the table, and in the report of this test."""

    def tell(name: str, **numbers: float | str) -> None:
        request.config.stash.setdefault(TOLD, []).append((name, numbers))
        for each, number in numbers.items():
            record_property(each, number)

    return tell


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    told = config.stash.get(TOLD, [])
    if not told:
        return
    terminalreporter.section("counted under faults")
    width = max(len(name) for name, _ in told)
    for name, numbers in told:
        said = ", ".join(f"{each.replace('_', ' ')} {number}" for each, number in numbers.items())
        terminalreporter.write_line(f"{name:<{width}}  {said}")
