"""``python -m tests.mutations``: break one mechanism at a time, and see a test fail.

Works on a copy of the tree. Each mutation of ``mutations.toml`` replaces one piece of text in one
file; the tests named with it must fail then, and pass without it (``--also-unbroken``). The
outcome of all of them is kept in ``outcome.md`` (``--outcome``).
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.mutations.outcome import Noticed, Outcome, judged, page

ROOT = Path(__file__).parents[2]
LIST = Path(__file__).with_name("mutations.toml")
PAGE = Path(__file__).with_name("outcome.md")
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "var", "__pycache__", ".*_cache", ".hypothesis")

SECONDS = 420
"""For the tests of one mutation; what breaks may hang."""
UNBROKEN_SECONDS = 3600
ENDS_WITHIN_SECONDS = 60
"""In which tests that are asked to stop end the servers that they started."""

screen = Console(width=120, highlight=False)


@dataclass(frozen=True)
class Mutation:
    """One mechanism, broken.

    Attributes:
        breaks: The mechanism, in words.
        tests: What must fail: arguments for pytest.
    """

    name: str
    breaks: str
    file: str
    old: str
    new: str
    tests: list[str]


def mutations() -> list[Mutation]:
    """The list, in order."""
    return [Mutation(**each) for each in tomllib.loads(LIST.read_text("utf-8"))["mutation"]]


def main() -> int:
    """Exit status 0 when every mutation is noticed."""
    options = _options()
    wanted = [each for each in mutations() if not options.only or each.name in options.only]
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "tree"
        shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
        copy.chmod(0o755)
        if options.also_unbroken:
            every = list(dict.fromkeys(test for each in wanted for test in each.tests))
            noticed, test = run(copy, every, within=UNBROKEN_SECONDS)
            if noticed is not Noticed.NOT:
                what = f"A test fails without any mutation: {test or 'they do not end'}"
                screen.print(escape(what))
                return 1
        for each in wanted:
            outcomes.append(Outcome(each.name, each.breaks, *tried(copy, each)))
            screen.print(escape(f"  {each.name}: {outcomes[-1].noticed}"))
    screen.print(_table(outcomes))
    unnoticed = sum(each.noticed is Noticed.NOT for each in outcomes)
    screen.print(f"{len(wanted) - unnoticed} of {len(wanted)} mutations are noticed by a test.")
    if options.outcome:
        told = page(outcomes, datetime.now(UTC).date(), unbroken=options.also_unbroken)
        PAGE.write_text(told, "utf-8")
    return 1 if unnoticed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("only", nargs="*", help="names of mutations; all by default")
    parser.add_argument("--also-unbroken", action="store_true", help="first see the tests pass")
    parser.add_argument("--outcome", action="store_true", help=f"write {PAGE.name}; only for all")
    options = parser.parse_args()
    unknown = set(options.only) - {each.name for each in mutations()}
    if unknown:
        parser.error(f"there is no mutation {', '.join(sorted(unknown))}")
    if options.outcome and options.only:
        parser.error("--outcome is of all mutations")
    return options


def _table(outcomes: list[Outcome]) -> Table:
    table = Table("mutation", "breaks", "noticed", "by")
    for each in outcomes:
        table.add_row(each.name, escape(each.breaks), each.noticed, escape(each.test))
    return table


def tried(tree: Path, mutation: Mutation) -> tuple[Noticed, str]:
    """Whether a test fails while this is broken, and which."""
    file = tree / mutation.file
    whole = file.read_text("utf-8")
    if whole.count(mutation.old) != 1:
        raise SystemExit(
            f"{mutation.name}: its text stands {whole.count(mutation.old)} times in {mutation.file}"
        )
    file.write_text(whole.replace(mutation.old, mutation.new), "utf-8")
    try:
        return run(tree, mutation.tests, within=SECONDS)
    finally:
        file.write_text(whole, "utf-8")


def run(tree: Path, tests: list[str], *, within: float) -> tuple[Noticed, str]:
    """Whether one of these tests fails in this tree, and which one is the first.

    Args:
        within: Seconds after which they are ended.

    Raises:
        SystemExit: they cannot be collected, which is no answer.
    """
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "GATEWAY_TESTS_ALL": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(
        command,
        cwd=tree,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        said, _ = process.communicate(timeout=within)
    except subprocess.TimeoutExpired:
        _end(process)
        return Noticed.BY_TIMEOUT, ""
    if process.returncode not in (0, 1):
        raise SystemExit(said[-4000:])
    return judged(said) if process.returncode else (Noticed.NOT, "")


def _end(process: subprocess.Popen[str]) -> None:
    """Let the tests end what they started, and make them end when they do not."""
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=ENDS_WITHIN_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


if __name__ == "__main__":
    sys.exit(main())
