"""Every code is explained to people, in both languages, and says what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.errors import EXPLANATIONS, Code

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"

LOOKS_LIKE_A_VALUE = re.compile(r"\d{5,}|\d+[.,]\d{2}\b|\d{4}-\d{2}|[A-Z]{2}\d{2}[A-Z]{4}")
"""A long number, an amount, a date, an account number."""

TO_DO = {
    "nl": re.compile(
        "(Controleer|Gebruik|Haal|Herstel|Laat|Lees|Maak|Onderteken|Stuur|Verklein|Verwijder"
        "|Vraag|Wacht|Zet|Zie|Zoek) "
    ),
    "en": re.compile("(Ask|Check|Get|Have|Look|Make|Mend|Remove|See|Send|Set|Sign|Use|Wait) "),
}
"""How a last sentence begins that tells its reader what to do."""


def paragraphs() -> dict[str, str]:
    """The text under each third-level heading of the page."""
    _, *parts = re.split(r"^### ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {part.split("\n", 1)[0].strip(): part.split("\n## ", 1)[0] for part in parts}


def last_sentence(text: str) -> str:
    return re.split(r"(?<=\.) (?=[A-Z])", text)[-1]


@pytest.mark.parametrize("code", Code)
def test_a_code_is_explained_in_both_languages(code: Code) -> None:
    explained = EXPLANATIONS[code]

    assert 400 <= explained.status < 500
    assert explained.nl.endswith(".")
    assert explained.en.endswith(".")
    assert explained.nl != explained.en


@pytest.mark.parametrize("code", Code)
def test_an_explanation_ends_with_what_to_do(code: Code) -> None:
    explained = EXPLANATIONS[code]

    assert TO_DO["nl"].match(last_sentence(explained.nl))
    assert TO_DO["en"].match(last_sentence(explained.en))


@pytest.mark.parametrize("code", Code)
def test_an_explanation_holds_nothing_that_looks_like_a_value(code: Code) -> None:
    explained = EXPLANATIONS[code]

    assert not LOOKS_LIKE_A_VALUE.search(explained.nl)
    assert not LOOKS_LIKE_A_VALUE.search(explained.en)


@pytest.mark.parametrize("code", Code)
def test_a_code_has_a_paragraph_with_its_status_that_ends_with_what_to_do(code: Code) -> None:
    paragraph = paragraphs()[code]

    assert f"Status {EXPLANATIONS[code].status}." in paragraph
    _, _, advice = paragraph.rpartition("**What to do:** ")
    assert advice.strip().endswith(".")
    assert len(advice.split()) >= 4


def test_the_page_explains_no_code_that_does_not_exist() -> None:
    assert set(paragraphs()) == set(Code)


def test_codes_are_unique_and_are_their_own_names() -> None:
    assert all(code.name == code.value for code in Code)
    assert len({code.value for code in Code}) == len(Code.__members__)
    assert set(EXPLANATIONS) == set(Code)
