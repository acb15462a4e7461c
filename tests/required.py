"""What a test needs and this machine does not have: skipped at the desk, a failure at the gate."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

AT_THE_GATE = bool(os.environ.get("CI")) or os.environ.get("GATEWAY_TESTS_ALL") == "1"
"""Whether every test must run; ``make test`` says so."""


def required(*programs: str) -> None:
    """End the test here unless all of these are on the path.

    ``deploy/servers.sh`` installs every program that is named so and that not every machine has.
    """
    missing = [each for each in programs if shutil.which(each) is None]
    if missing:
        lacking(f"not installed here: {', '.join(missing)}; run 'make servers'")


def lacking(what: str) -> NoReturn:
    """End the test, which cannot do without this."""
    if AT_THE_GATE:
        pytest.fail(what, pytrace=False)
    pytest.skip(what)
