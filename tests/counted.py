"""``python -m tests.counted``: what the last ``make test`` counted under faults, as a page.

Reads ``var/breaking.xml`` and ``var/others.xml`` and writes ``tests/fault/counted.md``, to which
docs/guarantees.md points.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from lxml import etree

ROOT = Path(__file__).parents[1]
REPORTS = (ROOT / "var" / "breaking.xml", ROOT / "var" / "others.xml")
PAGE = ROOT / "tests" / "fault" / "counted.md"

HEAD = """# Counted under faults

What the tests counted in one run of the suite (`make test`), on {when}: {tests} tests, {failed}
failed, {skipped} skipped. Written by `python -m tests.counted`.

| test | what | counted |
|---|---|---|
"""


def rows(report: etree._ElementTree) -> Iterator[tuple[str, str, str]]:
    """Test, what it tried, and what it counted."""
    for case in report.iter("testcase"):
        for each in case.iter("property"):
            module = str(case.get("classname")).rpartition(".")[2]
            yield module, str(each.get("name")), str(each.get("value"))


def page(reports: list[etree._ElementTree]) -> str:
    """All of them, in order of the tests."""
    suites = [suite for report in reports for suite in report.iter("testsuite")]
    total = {
        name: sum(int(suite.get(name, "0")) for suite in suites)
        for name in ("tests", "failures", "errors", "skipped")
    }
    head = HEAD.format(
        when=str(suites[0].get("timestamp"))[:10],
        tests=f"{total['tests']:,}",
        failed=total["failures"] + total["errors"],
        skipped=total["skipped"],
    )
    found = sorted(row for report in reports for row in rows(report))
    return head + "".join(f"| {' | '.join(row)} |\n" for row in found)


if __name__ == "__main__":
    missing = [each.relative_to(ROOT) for each in REPORTS if not each.exists()]
    if missing:
        sys.exit(f"Run `make test` first: there is no {' and no '.join(map(str, missing))}.")
    PAGE.write_text(page([etree.parse(each) for each in REPORTS]), encoding="utf-8")
    sys.stdout.write(f"Written: {PAGE.relative_to(ROOT)}\n")
