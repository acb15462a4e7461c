"""``python -m tests.mutations``: break one mechanism at a time, and see a test fail.

Works on a copy of the tree. Each mutation of ``mutations.toml`` replaces one piece of text in one
file; the tests named with it must fail then, and pass without it (``--also-unbroken``).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[2]
LIST = Path(__file__).with_name("mutations.toml")
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "var", "__pycache__", ".*_cache", ".hypothesis")
SECONDS = 420

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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", help="names of mutations; all by default")
    parser.add_argument("--also-unbroken", action="store_true", help="first see the tests pass")
    options = parser.parse_args()
    wanted = [each for each in mutations() if not options.only or each.name in options.only]
    table = Table("mutation", "breaks", "noticed")
    unnoticed = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "tree"
        shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
        copy.chmod(0o755)
        if options.also_unbroken and not passes(copy, sorted({t for m in wanted for t in m.tests})):
            screen.print("The tests fail without any mutation; mend that first.")
            return 1
        for each in wanted:
            noticed = is_noticed(copy, each)
            unnoticed += not noticed
            screen.print(f"  {each.name}: {'noticed' if noticed else 'NOT NOTICED'}")
            table.add_row(each.name, each.breaks, "yes" if noticed else "NO")
    screen.print(table)
    screen.print(f"{len(wanted) - unnoticed} of {len(wanted)} mutations are noticed by a test.")
    return 1 if unnoticed else 0


def is_noticed(tree: Path, mutation: Mutation) -> bool:
    """Whether a test fails while this is broken."""
    file = tree / mutation.file
    whole = file.read_text("utf-8")
    if whole.count(mutation.old) != 1:
        raise SystemExit(
            f"{mutation.name}: its text stands {whole.count(mutation.old)} times in {mutation.file}"
        )
    file.write_text(whole.replace(mutation.old, mutation.new), "utf-8")
    try:
        return not passes(tree, mutation.tests)
    finally:
        file.write_text(whole, "utf-8")


def passes(tree: Path, tests: list[str]) -> bool:
    """Whether these tests pass in this tree; a test that cannot be collected is no answer."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "GATEWAY_TESTS_ALL": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command,
            cwd=tree,
            env=environment,
            timeout=SECONDS,
            capture_output=True,
            text=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    if done.returncode not in (0, 1):
        raise SystemExit(done.stdout[-3000:] + done.stderr[-1000:])
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
