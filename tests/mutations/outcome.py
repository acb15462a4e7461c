"""What trying the mutations came to, as a page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from enum import StrEnum
from typing import NamedTuple


class Noticed(StrEnum):
    """How a broken mechanism was noticed.

    A timeout is told apart: tests that do not end noticed something, but a slow machine would too.
    """

    YES = "noticed"
    BY_TIMEOUT = "noticed by a timeout"
    NOT = "NOT NOTICED"


class Outcome(NamedTuple):
    """What became of one mutation.

    Attributes:
        test: The one that failed first, as pytest names it; empty where none is known.
    """

    name: str
    breaks: str
    noticed: Noticed
    test: str


def judged(said: str) -> tuple[Noticed, str]:
    """What tests noticed that failed, and the one that failed first, from what pytest said."""
    named = r"^(?:FAILED|ERROR) (\S+?::[^\s\[]+(?:\[.*?\](?= - |$))?)"
    found = re.search(named, said, flags=re.MULTILINE)
    late = "from pytest-timeout" in said
    return Noticed.BY_TIMEOUT if late else Noticed.YES, found[1] if found else ""


def page(outcomes: Sequence[Outcome], day: date, *, unbroken: bool) -> str:
    """All outcomes as Markdown.

    Args:
        unbroken: The same tests were seen to pass without any mutation.
    """
    late = sum(each.noticed is Noticed.BY_TIMEOUT for each in outcomes)
    missed = sum(each.noticed is Noticed.NOT for each in outcomes)
    before = "The same tests passed without any mutation." if unbroken else ""
    lines = [
        f"# Mutations of {day}",
        "",
        "Written by `python -m tests.mutations --also-unbroken --outcome`; the list is",
        "[mutations.toml](mutations.toml).",
        "",
        f"{len(outcomes)} mechanisms were broken, one at a time: "
        f"{len(outcomes) - late - missed} were noticed by a test that failed, {late} by a timeout, "
        f"{missed} by nothing. {before}".rstrip(),
        "",
        "| mutation | breaks | noticed by |",
        "|---|---|---|",
        *(f"| {each.name} | {_cell(each.breaks)} | {_by(each)} |" for each in outcomes),
    ]
    return "\n".join(lines) + "\n"


def _by(outcome: Outcome) -> str:
    test = f"`{_cell(outcome.test)}`" if outcome.test else ""
    if outcome.noticed is Noticed.YES:
        return test
    return f"{outcome.noticed} {test}".rstrip()


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
