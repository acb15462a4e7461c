"""Run the changes on the connection that ``migrate`` opened, each in a transaction of its own."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import context
from alembic.migration import MigrationContext, MigrationInfo

from gateway.adapters.ledger.migrate import compatible_with
from gateway.adapters.ledger.tables import metadata


def state_compatibility(
    ctx: MigrationContext, step: MigrationInfo, heads: set[str], **_: Any
) -> None:
    """Say beside the new revision which older code may run on; in the transaction that made it."""
    connection = ctx.connection
    assert connection is not None
    there = {each["name"] for each in sa.inspect(connection).get_columns("alembic_version")}
    for column in ("stated_for", "compatible_with"):
        if column not in there:
            connection.execute(sa.text(f"ALTER TABLE alembic_version ADD COLUMN {column} TEXT"))
    said = sa.text("UPDATE alembic_version SET stated_for = :revision, compatible_with = :with")
    revision = step.up_revision_id
    assert revision is not None
    connection.execute(said, {"revision": revision, "with": compatible_with(revision)})


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    transaction_per_migration=True,
    on_version_apply=state_compatibility,
)
with context.begin_transaction():
    context.run_migrations()
