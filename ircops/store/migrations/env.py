"""Run by Alembic, which gets its connection, with a transaction begun, from `Database.open`."""

from __future__ import annotations

from alembic import context

from ircops.store import schema

context.configure(
    connection=context.config.attributes["connection"], target_metadata=schema.metadata
)
context.run_migrations()
