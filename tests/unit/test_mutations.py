"""The list of mutations keeps up with the code: each one still breaks what it says."""

from __future__ import annotations

from datetime import date

import pytest

from tests.mutations.__main__ import ROOT, Mutation, mutations
from tests.mutations.outcome import Noticed, Outcome, judged, page

ENOUGH = 25

SAID = """
..F
E       assert 1 == 2
=========================== short test summary info ============================
FAILED tests/unit/test_a.py::test_b[een - twee|drie] - AssertionError: assert ...
1 failed, 2 passed in 0.03s
"""


def test_there_are_enough_of_them_each_with_a_name_of_its_own() -> None:
    names = [each.name for each in mutations()]

    assert len(set(names)) == len(names) >= ENOUGH


@pytest.mark.parametrize("mutation", mutations(), ids=lambda each: each.name)
def test_its_text_stands_once_in_its_file_and_its_tests_exist(mutation: Mutation) -> None:
    assert (ROOT / mutation.file).read_text("utf-8").count(mutation.old) == 1
    assert mutation.new != mutation.old
    assert mutation.tests
    for each in mutation.tests:
        if not each.startswith("-"):
            path, _, name = each.partition("::")
            assert f"def {name.partition('[')[0]}" in (ROOT / path).read_text("utf-8")


def test_the_test_that_failed_first_is_named_and_one_that_lasted_too_long_is_told_apart() -> None:
    late = f"E       Failed: Timeout (>60.0s) from pytest-timeout.\n{SAID}"

    assert judged(SAID) == (Noticed.YES, "tests/unit/test_a.py::test_b[een - twee|drie]")
    assert judged("ERROR tests/a.py::test_b\n") == (Noticed.YES, "tests/a.py::test_b")
    assert judged(late)[0] is Noticed.BY_TIMEOUT
    assert judged("nothing that names a test") == (Noticed.YES, "")


def test_the_page_tells_what_a_test_noticed_apart_from_what_only_lasted_too_long() -> None:
    outcomes = [
        Outcome("een", "het eerste", Noticed.YES, "tests/a.py::test_b[x|y]"),
        Outcome("twee", "het tweede", Noticed.BY_TIMEOUT, ""),
        Outcome("drie", "het derde", Noticed.NOT, ""),
    ]

    told = page(outcomes, date(2026, 3, 2), unbroken=True)

    assert "3 mechanisms were broken, one at a time: 1 were" in told
    assert "by a test that failed, 1 by a timeout, 1 by nothing. The same tests passed" in told
    assert "| een | het eerste | `tests/a.py::test_b[x\\|y]` |" in told
    assert "| twee | het tweede | noticed by a timeout |" in told
    assert "| drie | het derde | NOT NOTICED |" in told
