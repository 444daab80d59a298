"""Alembic's entry point: runs inside the connection that `store.migrate` opened."""

from alembic import context
from sqlmodel import SQLModel

from modelplane.control_plane.store import tables
from modelplane.control_plane.store.usage import tables as usage_tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    render_as_batch=True,
)
# The imports fill it.
assert tables.EndpointRow.metadata is usage_tables.UsageRow.metadata  # noqa: S101
context.run_migrations()
