"""Run the changes on the connection that ``migrate`` opened, in its transaction."""

from __future__ import annotations

from alembic import context

from gateway.adapters.ledger.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
context.run_migrations()
