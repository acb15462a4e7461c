"""Every ledger that there is, for the tests that say what a ledger promises."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from fixtures.keyring import a_keyring
from gateway.adapters.ledger.ledger import SqlLedger, ledger_in_memory, open_ledger
from gateway.adapters.ledger.migrate import migrate
from tests.conformance.submissions import NOON

IN_MEMORY = pytest.param("sqlite-memory", id="sqlite-memory")
IN_FILE = pytest.param("sqlite-file", id="sqlite-file")
ON_SERVER = pytest.param("postgres", id="postgres", marks=pytest.mark.database)


def at_noon() -> datetime:
    return NOON


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with tables and nothing in them, to copy."""
    file = tmp_path_factory.mktemp("ledger") / "template.db"
    migrate(f"sqlite:///{file}")
    return file


Open = Callable[[], SqlLedger]


def _opener(kind: str, request: pytest.FixtureRequest) -> Open:
    if kind == "sqlite-memory":
        return lambda: ledger_in_memory(a_keyring(), clock=at_noon)
    if kind == "postgres":
        address = str(request.getfixturevalue("postgres_url"))
    else:
        folder: Path = request.getfixturevalue("tmp_path")
        file = folder / "ledger.db"
        shutil.copy(request.getfixturevalue("migrated_file"), file)
        address = f"sqlite:///{file}"
    return lambda: open_ledger(address, a_keyring(), clock=at_noon)


@pytest.fixture(params=[IN_MEMORY, IN_FILE, ON_SERVER])
def ledger(request: pytest.FixtureRequest) -> Iterator[SqlLedger]:
    """An empty ledger."""
    made = _opener(request.param, request)()
    yield made
    made.close()


@pytest.fixture(params=[IN_FILE, ON_SERVER])
def two_ledgers(request: pytest.FixtureRequest) -> Iterator[tuple[SqlLedger, SqlLedger]]:
    """Two processes, as far as the database can tell, with one empty ledger."""
    opener = _opener(request.param, request)
    one, other = opener(), opener()
    yield one, other
    one.close()
    other.close()
