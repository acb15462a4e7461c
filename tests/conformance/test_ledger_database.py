"""The ledger says clearly that it does not answer, or that its tables do not fit."""

from __future__ import annotations

import socket
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.exc import DBAPIError

from fixtures.keyring import a_keyring
from gateway.adapters.ledger.database import Database, LedgerBug, connect, translated
from gateway.adapters.ledger.ledger import SqlLedger, open_ledger
from gateway.adapters.ledger.migrate import COMMAND, migrate
from gateway.adapters.ledger.tables import metadata
from gateway.errors import Fault, LedgerUnavailable
from tests.conformance.submissions import NOON, a_submission, admitting


def opened_as_usual(address: str) -> SqlLedger:
    return open_ledger(address, a_keyring())


BEGIN_AND_LOCK = "BEGIN IMMEDIATE"


@pytest.fixture(
    params=["sqlite-file", pytest.param("postgres", marks=pytest.mark.database)],
)
def empty_address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without tables."""
    if request.param == "postgres":
        return str(request.getfixturevalue("empty_postgres_url"))
    return f"sqlite:///{tmp_path / 'empty.db'}"


OF_SQLITE = (
    (
        "SELECT m.name, c.name, c.type, c.[notnull], c.pk"
        " FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS c WHERE m.type = 'table'"
    ),
    "SELECT tbl_name, name, sql FROM sqlite_master WHERE type = 'index'",
    (
        'SELECT m.name, k."from", k."table", k."to"'
        " FROM sqlite_master AS m JOIN pragma_foreign_key_list(m.name) AS k"
    ),
)
OF_POSTGRES = (
    (
        "SELECT table_name, column_name, data_type, is_nullable, column_default"
        " FROM information_schema.columns WHERE table_schema = 'public'"
    ),
    "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    (
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)"
        " FROM pg_constraint WHERE connamespace = 'public'::regnamespace"
    ),
    (
        "SELECT attrelid::regclass::text, attname, attcompression::text FROM pg_attribute"
        " JOIN pg_class ON pg_class.oid = attrelid AND relkind = 'r'"
        " WHERE relnamespace = 'public'::regnamespace AND attnum > 0"
    ),
)


def whole_schema(database: Database) -> list[tuple[str, ...]]:
    """Every column, key and index, as the database itself words it."""
    with database.reading() as connection:
        queries = OF_SQLITE if connection.dialect.name == "sqlite" else OF_POSTGRES
        rows = [row for query in queries for row in connection.exec_driver_sql(query)]
    worded = (tuple(" ".join(str(each).split()) for each in row) for row in rows)
    return sorted(row for row in worded if row[0] != "alembic_version")


def test_migrating_from_nothing_makes_exactly_the_tables_of_the_code(
    empty_address: str,
) -> None:
    created = connect(empty_address)
    with created.writing() as connection:
        metadata.create_all(connection)
    expected = whole_schema(created)
    with created.writing() as connection:
        metadata.drop_all(connection)
    created.engine.dispose()

    migrate(empty_address)

    migrated = connect(empty_address)
    assert whole_schema(migrated) == expected
    with migrated.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    migrated.engine.dispose()


def test_migrating_twice_is_harmless(empty_address: str) -> None:
    migrate(empty_address)
    ledger = open_ledger(empty_address, a_keyring())
    ledger.record([a_submission(1)], admitting(), NOON)
    ledger.close()

    migrate(empty_address)

    ledger = open_ledger(empty_address, a_keyring())
    assert ledger.message(a_submission(1).message.header.afzender, a_ref()) is not None
    ledger.close()


def a_ref() -> str:
    return a_submission(1).message.header.referentienummer


def test_a_ledger_without_tables_is_refused_with_what_to_do(empty_address: str) -> None:
    with pytest.raises(Fault, match=f"no tables.*{COMMAND}"):
        open_ledger(empty_address, a_keyring())


@pytest.mark.parametrize("command", [opened_as_usual, migrate])
def test_a_ledger_of_a_newer_gateway_is_refused(
    empty_address: str, command: Callable[[str], object]
) -> None:
    migrate(empty_address)
    database = connect(empty_address)
    with database.writing() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    database.engine.dispose()

    with pytest.raises(Fault, match="newer"):
        command(empty_address)


def test_another_kind_of_database_is_refused() -> None:
    with pytest.raises(Fault, match="sqlite or postgresql"):
        connect("mysql://localhost/x")


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    migrate(f"sqlite:///{tmp_path / 'ledger.db'}")

    assert stat.S_IMODE((tmp_path / "ledger.db").stat().st_mode) == 0o600


def test_a_ledger_in_a_folder_that_is_not_there_does_not_answer(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnavailable):
        open_ledger(f"sqlite:///{tmp_path / 'nowhere' / 'ledger.db'}", a_keyring())


def test_a_file_that_somebody_keeps_locked_does_not_answer(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path / 'ledger.db'}"
    migrate(address)
    ledger = open_ledger(address, a_keyring(), patience_s=0)
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    other.execute(BEGIN_AND_LOCK)

    with pytest.raises(LedgerUnavailable, match="SQLITE_BUSY"):
        ledger.record([a_submission(1)], admitting(), NOON)
    other.execute("ROLLBACK")
    (outcome,) = ledger.record([a_submission(1)], admitting(), NOON)

    assert not isinstance(outcome, Exception)
    other.close()
    ledger.close()


@pytest.mark.database
def test_a_server_that_is_not_there_does_not_answer() -> None:
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]

        with pytest.raises(LedgerUnavailable):
            open_ledger(f"postgresql://gateway@127.0.0.1:{port}/gateway", a_keyring())


def _every_kind(parent: type[Exception]) -> set[type[Exception]]:
    below = {each for child in parent.__subclasses__() for each in _every_kind(child)}
    return {parent, *below}


@pytest.mark.parametrize("library", [sqlite3, psycopg])
def test_no_exception_of_a_driver_gets_through(library: object) -> None:
    """A new class in a newer driver must be thought about, not met at night."""
    base: type[Exception] = library.Error  # type: ignore[attr-defined]
    for kind in sorted(_every_kind(base), key=lambda each: each.__name__):
        wrapped = DBAPIError.instance(
            "SELECT 1", None, kind("Wilhelmina Kanarie"), base, hide_parameters=True
        )
        assert isinstance(wrapped, DBAPIError)

        with pytest.raises((LedgerUnavailable, LedgerBug)) as caught, translated():
            raise wrapped

        assert "Kanarie" not in str(caught.value)


def test_a_commit_waits_for_the_disk(ledger: SqlLedger) -> None:
    with ledger._database.writing() as connection:
        if connection.dialect.name == "sqlite":
            waits = connection.exec_driver_sql("PRAGMA synchronous").scalar()
            assert waits == 2  # FULL
        else:
            waits = connection.exec_driver_sql("SHOW synchronous_commit").scalar()
            assert waits == "on"
