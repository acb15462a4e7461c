"""What README and docs say can be followed, and claims nothing that we may not claim."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from gateway.adapters.register_entries import PartyEntry, RetryEntry
from gateway.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NEXT_PAGE = ROOT / "docs" / "first-party.md"

FORBIDDEN = ("digikoppeling compliant", "certified", "exactly once", "exactly-once")
"""Claims that nobody tested, or that nobody can keep."""

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def prose(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def without_code(text: str) -> str:
    """The text outside fenced blocks and code spans."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(page: Path) -> set[str]:
    """What a link to a heading of the page may be called."""
    headings = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    words = (re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings)
    return set(words)


def rows_of(page: Path) -> list[list[str]]:
    """The cells of every row of every table, headings left out."""
    lines = [line for line in prose(page).splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if row[0] not in {"guarantee", "threat"}]


@each_page
def test_a_page_claims_nothing_that_we_may_not_claim(page: Path) -> None:
    said = " ".join(prose(page).lower().split())

    assert [phrase for phrase in FORBIDDEN if phrase in said] == []


@each_page
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(prose(page))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        aim = (page.parent / path).resolve() if path else page
        assert aim.is_relative_to(ROOT), target
        assert aim.exists(), target
        if anchor:
            assert anchor in anchors(aim), target


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "docs/first-party.md"])
def test_every_make_target_that_is_named_exists(name: str) -> None:
    named = set(re.findall(r"(?:^ {4}|`|\$ )make ([a-z-]+)", prose(ROOT / name), re.MULTILINE))
    targets = set(re.findall(r"^([a-z-]+):", prose(ROOT / "Makefile"), re.MULTILINE))

    assert named
    assert named <= targets


@pytest.mark.parametrize("name", ["docs/guarantees.md", "SECURITY.md"])
def test_every_guarantee_and_threat_names_its_mechanism_and_a_test_that_exists(name: str) -> None:
    page = ROOT / name

    rows = rows_of(page)

    assert rows
    for promised, mechanism, shown_by, *figure in rows:
        assert promised
        assert mechanism
        tests = re.findall(r"\[([^]]+)\]\(((?:\.\./)?tests/[^)#]+)\)", shown_by)
        assert tests, promised
        for called, test in tests:
            assert (page.parent / test).is_file(), promised
            assert called == Path(test).name, promised
            assert "def test_" in prose(page.parent / test) or called == "conftest.py", promised
        assert all(figure), promised


def test_every_key_of_a_party_is_explained_on_the_next_page() -> None:
    named = set(re.findall(r"`\[?\[?([a-z_.]+)\]?\]?`", prose(NEXT_PAGE)))

    assert set(PartyEntry.model_fields) - {"herhalen"} <= named
    assert {"partij.herhalen", *RetryEntry.model_fields} <= named


def test_every_setting_has_its_place_on_the_next_page() -> None:
    named = set(re.findall(r"GATEWAY_[A-Z_]+", prose(NEXT_PAGE)))

    assert {f"GATEWAY_{field.name.upper()}" for field in fields(Settings)} == named


def test_every_decision_has_its_four_parts() -> None:
    for page in (ROOT / "docs" / "adr").glob("*.md"):
        headings = re.findall(r"^## (.+)$", prose(page), flags=re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences", "Rejected"], page.name


def test_publiccode_can_be_read_and_names_our_licence() -> None:
    described = yaml.safe_load(prose(ROOT / "publiccode.yml"))

    assert described["legal"]["license"] == "EUPL-1.2"
    assert set(described["description"]) == {"nl", "en"}


def test_the_readme_fits_on_one_screen_and_ends_with_its_licence() -> None:
    lines = prose(ROOT / "README.md").splitlines()

    assert len(lines) <= 70
    assert "EUPL-1.2" in lines[-1]
