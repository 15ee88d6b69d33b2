"""What Alembic runs for each migration: in the transaction that it was given."""

from __future__ import annotations

from alembic import context

from vtrio.server.store.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    # SQLite changes a column by writing the table anew.
    render_as_batch=True,
    transactional_ddl=False,
)
context.run_migrations()
