"""Do the tables fit this gateway, and how do we make them fit?"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from gateway.adapters.ledger.database import Database, connect
from gateway.errors import Fault

COMMAND = "gateway inrichten"
"""What an operator types to bring the ledger up to date."""

# A change of a full table takes its time, and two processes that start together take turns.
# Any number will do, as long as no other program locks it in this database.
_IN_PEACE = ("SET LOCAL statement_timeout = 0", "SELECT pg_advisory_xact_lock(720200813)")


def migrate(address: str) -> None:
    """Bring the ledger at a URL to the schema of this gateway; harmless when it is there.

    Raises:
        Fault: the ledger was made by a newer gateway; nothing was changed.
        LedgerUnavailable: the database does not answer; nothing was changed.
    """
    database = connect(address)
    try:
        bring_up_to_date(database)
    finally:
        database.engine.dispose()


def bring_up_to_date(database: Database) -> None:
    """As ``migrate``, on a database that is already connected; one transaction."""
    with database.writing() as connection:
        if connection.dialect.name == "postgresql":
            for statement in _IN_PEACE:
                connection.execute(sa.text(statement))
        _refuse_newer(_revision(connection))
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def check_schema(database: Database) -> None:
    """Return when the tables are those that this gateway was written for.

    Raises:
        Fault: they are older, newer or absent.
    """
    with database.reading() as connection:
        revision = _revision(connection)
    _refuse_newer(revision)
    if revision != _revisions()[0]:
        found = f"has schema {revision}" if revision else "has no tables yet"
        raise Fault(f"the ledger {found}: run '{COMMAND}' first")


def _revision(connection: sa.Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _refuse_newer(revision: str | None) -> None:
    if revision is not None and revision not in _revisions():
        raise Fault(
            f"the ledger has schema {revision}, which this gateway does not know: it was "
            f"made by a newer one; install that, or restore a backup ('{COMMAND}' cannot help)"
        )


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
