"""How do we reach the database, and what do its errors mean for us?

The one place that knows which database it is: connection settings, how a transaction
begins, and the translation of foreign exceptions. No value of a message leaves with an error.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg.types.array import ListBinaryDumper
from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    DBAPIError,
    DisconnectionError,
    InterfaceError,
    InternalError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from gateway.adapters.ledger import prepared
from gateway.adapters.ledger.silence import Watch
from gateway.errors import Fault, LedgerUnavailable

Clock = Callable[[], datetime]
"""Tells the instant, aware and in UTC."""

OLDEST_SQLITE = (3, 40, 0)
"""RETURNING, UPDATE … FROM and partial indexes as the ledger uses them."""

PATIENCE_S = 5
"""How long to wait for a connection, or for the lock of a file, before it does not answer."""

SILENCE_S = 35.0
"""Longer than the server lets a statement last, or a transaction lie idle."""

_FRESH_S = 2.0  # a connection used this recently is taken to be alive
_POOL = 6  # one writer, four readers, one to spare

# A server that hangs must look like one that is down: within seconds.
_POSTGRES_OPTIONS = (
    "-c statement_timeout=30s -c lock_timeout=10s "
    "-c idle_in_transaction_session_timeout=30s -c timezone=UTC "
    # A plan made while the tables were empty would read them whole when they are full; and
    # statistics from before a rush would have the whole backlog sorted to take a few.
    "-c plan_cache_mode=force_custom_plan -c enable_bitmapscan=off"
)


# A cable that is pulled says nothing: without these it takes the system a quarter of an hour.
_HEARS_OF_SILENCE = {
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
}


class LedgerBug(Exception):
    """The database refused what we asked: a mistake of ours, so not a ``GatewayError``.

    Carries the class of the driver's exception, its SQLSTATE, the name of the constraint and
    how the statement begins; never a value, since that can be content.
    """


class Database:
    """One engine, with a way to write and a way to read."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self._reader = engine.execution_options(reading=True)

    @contextmanager
    def writing(self, *, kept_plans: bool = False) -> Iterator[sa.Connection]:
        """One transaction that commits at the end.

        Args:
            kept_plans: Everything in it goes by keys (``prepared.begin_with_kept_plans``).

        Raises:
            LedgerUnavailable: the database does not answer; nothing was recorded. Where the
                connection breaks during the commit itself nobody can know; every call of the
                ledger may be repeated.
            LedgerBug: it answered that the statement cannot be right.
        """
        with translated(), self.engine.begin() as connection:
            if kept_plans and connection.dialect.name == "postgresql":
                prepared.begin_with_kept_plans(connection)
            yield connection

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """One transaction that only reads, so that it waits for no writer; raises likewise."""
        with translated(), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[sa.Connection]:
        """Likewise, of one moment of the ledger, however many statements look at it."""
        with self.reading() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            yield connection


def plan_anew(connection: sa.Connection) -> None:
    """After ``kept_plans``: what comes now is planned by the statistics, as usual."""
    if connection.dialect.name == "postgresql":
        prepared.plan_anew(connection)


@contextmanager
def translated() -> Iterator[None]:
    """Turn the library's exceptions into ours."""
    try:
        yield
    except (OperationalError, InterfaceError, InternalError, PoolTimeout) as error:
        # InternalError is what a server says that became read-only: a failover is under way
        raise LedgerUnavailable(f"the ledger does not answer ({_named(error)})") from None
    except DBAPIError as error:
        began = " ".join((error.statement or "").split())[:60]
        raise LedgerBug(f"{_named(error)} in: {began}") from None


def _named(error: Exception) -> str:
    origin: Any = getattr(error, "orig", None)
    diagnosis = getattr(origin, "diag", None)
    names = (
        type(origin or error).__name__,
        getattr(origin, "sqlite_errorname", None) or getattr(origin, "sqlstate", None),
        getattr(diagnosis, "constraint_name", None),
    )
    return " ".join(name for name in names if name)


def insert_into(connection: sa.Connection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that knows ON CONFLICT: both databases have it, the library per dialect."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table)
    return postgresql.insert(table)


def connect(
    address: str, *, patience_s: int = PATIENCE_S, silence_s: float | None = SILENCE_S
) -> Database:
    """Prepare, but do not yet open, the database at a URL.

    Args:
        address: ``sqlite:///file``, ``sqlite://`` (in memory) or ``postgresql://…``, also of
            several servers of which one takes writes.
        patience_s: Seconds to wait for a connection or a lock.
        silence_s: Seconds after which a server that says nothing does not answer; None where
            something may take long.

    Raises:
        Fault: another kind of database, or a SQLite that is too old.
    """
    url = make_url(address)
    match url.get_backend_name():
        case "sqlite":
            return Database(_sqlite(url, patience_s))
        case "postgresql":
            return Database(_postgres(url, patience_s, silence_s))
        case other:
            raise Fault(f"the ledger runs on sqlite or postgresql, not on {other}")


def _sqlite(url: URL, patience_s: int) -> sa.Engine:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise Fault(f"SQLite {sqlite3.sqlite_version} is too old; 3.40 or newer is needed")
    in_memory = url.database in (None, "", ":memory:")
    if not in_memory:
        _make_private(Path(str(url.database)))
    engine = sa.create_engine(
        url,
        hide_parameters=True,
        poolclass=QueuePool,
        # A database in memory lives in its one connection, which all threads take in turn.
        pool_size=1 if in_memory else _POOL,
        max_overflow=0,
        pool_timeout=patience_s,
        connect_args={"timeout": patience_s, "check_same_thread": False},
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _make_private(file: Path) -> None:
    """Make the file readable to us alone; its journals take over its rights."""
    try:
        file.touch(mode=0o600)
    except OSError as error:
        raise LedgerUnavailable(f"the ledger cannot be opened ({error.strerror})") from error


def _prepare_sqlite(connection: sqlite3.Connection, record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves, see below
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "temp_store = MEMORY",
        "journal_size_limit = 67108864",  # after a rush the journal shrinks to 64 MiB
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    # A transaction that reads first and writes later fails at once when another wrote in
    # between; taking the write lock at the start waits in line instead.
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _postgres(url: URL, patience_s: int, silence_s: float | None) -> sa.Engine:
    engine = sa.create_engine(
        url.set(drivername="postgresql+psycopg"),
        hide_parameters=True,
        pool_size=_POOL,
        max_overflow=0,
        pool_timeout=patience_s,
        connect_args={
            "connect_timeout": patience_s,
            **_HEARS_OF_SILENCE,
            "application_name": "schuldhulp-gateway",
            # The driver would forget all prepared statements after each transaction that was
            # given up, and ours with them; what is asked for every batch is in ``prepared``.
            "prepare_threshold": None,
            "options": _POSTGRES_OPTIONS,
        },
    )
    event.listen(engine, "connect", _prepare_postgres)
    if silence_s is not None:
        Watch(engine, silence_s)  # before a connection is tried
    event.listen(engine, "checkin", _put_back)
    event.listen(engine, "checkout", _taken_again)
    return engine


def _prepare_postgres(connection: psycopg.Connection, record: object) -> None:
    # Lists go over as binary arrays: as text each element would be quoted in Python.
    connection.adapters.register_dumper(list, ListBinaryDumper)


def _put_back(connection: object, record: ConnectionPoolEntry) -> None:
    record.info["since"] = time.monotonic()


def _taken_again(
    connection: psycopg.Connection, record: ConnectionPoolEntry, proxy: object
) -> None:
    """Try a connection that lay idle; asking before every transaction would cost as much as
    a statement.
    """
    since = record.info.get("since")
    if since is None or time.monotonic() - since < _FRESH_S:
        return  # a new one was heard just now, when it was made
    try:
        connection.execute("SELECT 1")
        connection.rollback()
    except psycopg.Error:
        raise DisconnectionError from None
