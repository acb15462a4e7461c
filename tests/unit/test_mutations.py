"""The list of mutations keeps up with the code: each one still breaks what it says."""

from __future__ import annotations

import pytest

from tests.mutations.__main__ import ROOT, Mutation, mutations

ENOUGH = 25


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
            assert (ROOT / each.partition("::")[0]).exists()
