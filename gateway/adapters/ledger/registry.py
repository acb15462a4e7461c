"""What the gateway must remember besides messages: its directory, and used assertions."""

from __future__ import annotations

import hashlib
from datetime import datetime

import sqlalchemy as sa

from gateway.adapters.ledger.database import Database, insert_into
from gateway.adapters.ledger.journal import Entry, Journal
from gateway.adapters.ledger.tables import assertion, directory
from gateway.errors import Fault
from gateway.message import canonical_form

DIRECTORY = "deelnemers"


class Registry:
    """The part of the ledger that holds the directory and the replay guard of tokens."""

    _database: Database
    _journal: Journal

    def directory(self) -> tuple[int, str]:
        """Newest directory as (version, canonical JSON text); (0, "") when none."""
        newest = (
            sa.select(directory.c.version, directory.c.content)
            .order_by(directory.c.version.desc())
            .limit(1)
        )
        with self._database.reading() as connection:
            row = connection.execute(newest).one_or_none()
        return (row.version, row.content) if row else (0, "")

    def apply_directory(self, text: str, *, base: int, by: str, at: datetime) -> int:
        """Add a version on top of ``base``; returns it.

        Raises:
            Fault: ``base`` is not the newest version; nothing was changed.
        """
        row = {
            "version": base + 1,
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
            "applied_by": by,
            "applied_at": at,
            "content": text,
        }
        entry = canonical_form({"soort": DIRECTORY, **{k: row[k] for k in ("version", "sha256")}})
        with self._journal.page() as page, self._database.writing() as connection:
            newest = connection.scalar(sa.select(sa.func.max(directory.c.version))) or 0
            if newest != base or not _put(connection, directory, row):
                raise Fault(
                    f"the directory changed since version {base}: read it again and "
                    "apply your change on top"
                )
            page.write(connection, [Entry(DIRECTORY, entry)])
        return base + 1

    def assertion_seen(self, key: str, expires: datetime, now: datetime) -> bool:
        """Remember a token assertion; True when it was used before.

        Forgets those that have expired: nobody accepts them any more.
        """
        row = {"sha256": hashlib.sha256(key.encode()).hexdigest(), "expires": expires}
        with self._database.writing() as connection:
            connection.execute(sa.delete(assertion).where(assertion.c.expires < now))
            return not _put(connection, assertion, row)


def _put(connection: sa.Connection, table: sa.Table, row: dict[str, object]) -> bool:
    """Insert a row; False when its key was there, also when another process came first."""
    key = next(iter(table.primary_key))
    added = connection.execute(
        insert_into(connection, table).on_conflict_do_nothing().returning(key), [row]
    )
    return added.first() is not None
