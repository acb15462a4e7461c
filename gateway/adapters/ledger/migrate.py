"""Do the tables fit this gateway, and how do we make them fit?

A change that only adds says with which older code it is compatible; that code keeps running
beside it, so that processes are replaced one by one (ADR 0009). What the tables are compatible
with stands in the row of their revision, for code that was written before that revision was.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import OperationalError

from gateway.adapters.ledger.database import Database, connect, translated
from gateway.errors import Fault, LedgerUnavailable

COMMAND = "gateway inrichten"
"""What an operator types to bring the ledger up to date."""

TURN = 720200813
"""Two processes that start together take turns. Any number will do, as long as no other program
locks it in this database."""

PAUSE_S = 0.2
TRIES = 50
"""So often a change is tried that has to wait for others; each time it gives way to them."""

_LOCK_NOT_AVAILABLE = "55P03"

# A change of a full table takes its time. But who waits for a whole table has everybody else
# wait behind it: rather give way soon, and try again.
_IN_PEACE = ("SET statement_timeout = 0", "SET lock_timeout = '500ms'")


def migrate(address: str) -> None:
    """Bring the ledger at a URL to the schema of this gateway; harmless when it is there.

    A newer schema that this gateway may run beside is left as it is.

    Raises:
        Fault: the ledger was made by a newer gateway; nothing was changed.
        LedgerUnavailable: the database does not answer, or others keep it too busy to change
            it; what was not changed yet is done by the next call.
    """
    database = connect(address, silence_s=None)
    try:
        bring_up_to_date(database)
    finally:
        database.engine.dispose()


def bring_up_to_date(database: Database) -> None:
    """As ``migrate``, on a database that is already connected; one transaction per revision."""
    with translated(), database.engine.connect() as connection, _in_turn(connection):
        if _newer_but_compatible(connection):
            return
        connection.commit()
        for _ in range(TRIES):
            try:
                config = _config()
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
            except OperationalError as error:
                connection.rollback()
                if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                    raise
                time.sleep(PAUSE_S)
            else:
                return
    raise LedgerUnavailable(f"the tables are too busy to change: run '{COMMAND}' again")


def check_schema(database: Database) -> None:
    """Return when this gateway can work with the tables.

    Raises:
        Fault: they are older, absent, or newer and not compatible with this gateway.
    """
    with database.reading() as connection:
        if _newer_but_compatible(connection):
            return
        revision = _revision(connection)
    if revision != _revisions()[0]:
        found = f"has schema {revision}" if revision else "has no tables yet"
        raise Fault(f"the ledger {found}: run '{COMMAND}' first")


def compatible_with(revision: str) -> str:
    """The oldest revision whose code works with the tables as this revision leaves them.

    A script says ``compatible_with = "…"`` where it only adds; otherwise only its own code does.
    No step brings back code that an earlier one has ended.
    """
    scripts = ScriptDirectory.from_config(_config())
    order = [each.revision for each in reversed(list(scripts.walk_revisions()))]
    until_now = order[: order.index(revision) + 1]
    said = (
        getattr(scripts.get_revision(each).module, "compatible_with", each) for each in until_now
    )
    return max(said, key=order.index)


def _newer_but_compatible(connection: sa.Connection) -> bool:
    """Whether the tables are of a newer gateway that left room for this one.

    Raises:
        Fault: they are of a newer gateway that did not.
    """
    revision = _revision(connection)
    if revision is None or revision in _revisions():
        return False
    if _stated(connection, revision) in _revisions():
        return True
    raise Fault(
        f"the ledger has schema {revision}, which this gateway does not know: it was "
        f"made by a newer one; install that, or restore a backup ('{COMMAND}' cannot help)"
    )


def _stated(connection: sa.Connection, revision: str) -> str | None:
    """What the tables of this revision are compatible with, by the word of who made them."""
    columns = {each["name"] for each in sa.inspect(connection).get_columns("alembic_version")}
    if not {"stated_for", "compatible_with"} <= columns:
        return None
    query = sa.text("SELECT compatible_with FROM alembic_version WHERE stated_for = :revision")
    stated: str | None = connection.scalar(query, {"revision": revision})
    return stated


@contextmanager
def _in_turn(connection: sa.Connection) -> Iterator[None]:
    """Change the tables in peace, and alone.

    Nobody waits for its turn inside a transaction: an index that is made beside the work of
    others waits for every transaction that is open.
    """
    if connection.dialect.name != "postgresql":
        yield  # one transaction writes at a time
        return
    for statement in _IN_PEACE:
        connection.execute(sa.text(statement))
    connection.commit()
    turn = {"turn": TURN}
    while not connection.scalar(sa.text("SELECT pg_try_advisory_lock(:turn)"), turn):
        connection.rollback()
        time.sleep(PAUSE_S)
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        connection.execute(sa.text("SELECT pg_advisory_unlock(:turn)"), turn)
        connection.execute(sa.text("RESET statement_timeout"))
        connection.execute(sa.text("RESET lock_timeout"))
        connection.commit()


def _revision(connection: sa.Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


@cache
def _revisions() -> tuple[str, ...]:
    """Every schema that this gateway knows, newest first."""
    scripts = ScriptDirectory.from_config(_config())
    return tuple(each.revision for each in scripts.walk_revisions())


def _config() -> Config:
    config = Config()
    folder = str(Path(__file__).with_name("migrations"))
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
