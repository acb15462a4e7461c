"""Run the changes on the connection that ``migrate`` opened.

On PostgreSQL each has a transaction of its own, so that one of them may leave it to make an index
beside the work of others. SQLite has one writer, and one transaction for all of them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from alembic import context
from alembic.migration import MigrationContext, MigrationInfo

from gateway.adapters.ledger.migrate import compatible_with
from gateway.adapters.ledger.tables import metadata

connection: sa.Connection = context.config.attributes["connection"]


def state_compatibility(
    ctx: MigrationContext, step: MigrationInfo, heads: Collection[str], run_args: Mapping[str, Any]
) -> None:
    """Say beside the new revision which older code may run on; in the transaction that made it."""
    (revision,) = heads
    there = {each["name"] for each in sa.inspect(connection).get_columns("alembic_version")}
    for column in ("stated_for", "compatible_with"):
        if column not in there:
            connection.execute(sa.text(f"ALTER TABLE alembic_version ADD COLUMN {column} TEXT"))
    said = sa.text("UPDATE alembic_version SET stated_for = :revision, compatible_with = :oldest")
    connection.execute(said, {"revision": revision, "oldest": compatible_with(revision)})


context.configure(
    connection=connection,
    target_metadata=metadata,
    transactional_ddl=True,
    transaction_per_migration=connection.dialect.name == "postgresql",
    on_version_apply=state_compatibility,
)
with context.begin_transaction():
    context.run_migrations()
