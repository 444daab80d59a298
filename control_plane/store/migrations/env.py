"""Alembic's entry point: runs inside the connection that `store.migrate` opened."""

from alembic import context
from sqlmodel import SQLModel

from control_plane.store import tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    render_as_batch=True,
)
assert tables.EndpointRow.metadata is SQLModel.metadata  # noqa: S101 - the import fills it
context.run_migrations()
