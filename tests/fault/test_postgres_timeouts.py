"""A server that takes too long is a ledger that does not answer, within seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest
import sqlalchemy as sa

from gateway.adapters.ledger.database import Database, connect
from gateway.errors import LedgerUnavailable

pytestmark = pytest.mark.database


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    made = connect(postgres_url)
    yield made
    made.engine.dispose()


@pytest.mark.parametrize(
    ("setting", "longest_ms"),
    [
        ("statement_timeout", 30_000),
        ("lock_timeout", 10_000),
        ("idle_in_transaction_session_timeout", 30_000),
    ],
)
def test_every_session_has_a_limit(database: Database, setting: str, longest_ms: int) -> None:
    with database.reading() as connection:
        query = sa.text("SELECT setting::int FROM pg_settings WHERE name = :name")
        found = connection.scalar(query, {"name": setting})

    assert 0 < found <= longest_ms


def test_a_statement_that_takes_too_long_does_not_answer(database: Database) -> None:
    with pytest.raises(LedgerUnavailable, match="QueryCanceled"):
        run(database, "SET LOCAL statement_timeout = '50ms'", "SELECT pg_sleep(30)")


def test_a_lock_that_somebody_keeps_does_not_answer(database: Database, postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as other:
        other.execute("LOCK TABLE message")

        with pytest.raises(LedgerUnavailable, match="LockNotAvailable"):
            run(database, "SET LOCAL lock_timeout = '50ms'", "LOCK TABLE message")


def test_a_session_that_idles_in_a_transaction_is_ended_and_what_it_held_is_free(
    database: Database, postgres_url: str
) -> None:
    def until_it_is_free() -> None:
        with psycopg.connect(postgres_url, autocommit=True) as other:
            other.execute("SET lock_timeout = '20s'")
            other.execute("SELECT count(*) FROM message")

    with pytest.raises(LedgerUnavailable):
        run(
            database,
            "LOCK TABLE message",
            "SET LOCAL idle_in_transaction_session_timeout = '50ms'",
            until_it_is_free,
            "SELECT 1",
        )

    run(database, "LOCK TABLE message")


def run(database: Database, *steps: str | Callable[[], None]) -> None:
    """Take these steps in one transaction."""
    with database.writing() as connection:
        for step in steps:
            if isinstance(step, str):
                connection.execute(sa.text(step))
            else:
                step()
