"""Make docs/berichten from the XSDs and the examples, or say what is out of date.

python docs/genereer.py               write the pages
python docs/genereer.py --check       exit 1 if a committed page differs
python docs/genereer.py --publiceer   freeze today's contract in gepubliceerd.json
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from gateway.message import Json, Kind  # noqa: E402 - a script: the package is beside it
from gateway.schemas.catalogue import Catalogue  # noqa: E402
from gateway.schemas.published import (  # noqa: E402
    PUBLISHED_FILE,
    breaking_changes,
    snapshot,
    text_of,
)
from gateway.schemas.reference import pages  # noqa: E402

PAGES = ROOT / "docs" / "berichten"
EXAMPLES = ROOT / "fixtures" / "berichten"


def main() -> int:
    """Exit status: 0 when all is well, 1 when something differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="only compare")
    parser.add_argument("--publiceer", action="store_true", help="freeze the contract")
    options = parser.parse_args()
    catalogue = Catalogue.load()
    if options.publiceer:
        return publish(catalogue)
    made = pages(catalogue, examples(catalogue))
    return check(made, PAGES) if options.check else write(made, PAGES)


def examples(catalogue: Catalogue) -> dict[Kind, Json]:
    """The example of each kind that has one."""
    paths = {
        kind: EXAMPLES / f"{kind.module}-v{kind.major}" / f"{kind.name}.json"
        for kind in catalogue.kinds
    }
    return {
        kind: json.loads(path.read_text("utf-8"))  # noqa: TID251 - our own file
        for kind, path in paths.items()
        if path.exists()
    }


SHOWN = 5
"""So many pages are named; the count says the rest."""


def check(made: dict[str, str], folder: Path) -> int:
    """Names every page that is missing, differs or is no longer made."""
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*.md")}
    wrong = sorted(
        path
        for path in there | set(made)
        if path not in made or path not in there or (folder / path).read_text("utf-8") != made[path]
    )
    for path in wrong[:SHOWN]:
        print(f"out of date: docs/berichten/{path}")
    if wrong:
        print(f"{len(wrong)} pages are out of date; write them again with: make docs")
    return 1 if wrong else 0


def write(made: dict[str, str], folder: Path) -> int:
    """Writes every page and removes those that are no longer made."""
    for path in folder.rglob("*.md"):
        if path.relative_to(folder).as_posix() not in made:
            path.unlink()
    for name, text in made.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    print(f"{len(made)} pages in docs/berichten")
    return 0


def publish(catalogue: Catalogue) -> int:
    """Freezes the contract, and says what that breaks of what was published before."""
    now = snapshot(schema.module for schema in catalogue.modules.values())
    if PUBLISHED_FILE.exists():
        before = json.loads(PUBLISHED_FILE.read_text("utf-8"))  # noqa: TID251 - our own file
        for change in breaking_changes(before, now):
            print(f"breaks what was published: {change}")
    PUBLISHED_FILE.write_text(text_of(now), "utf-8")
    print(f"frozen in {PUBLISHED_FILE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
