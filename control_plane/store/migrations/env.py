"""Alembic's entry point: runs inside the connection that `store.migrate` opened."""

from alembic import context

from modelplane.control_plane.store.migrate import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,
)
context.run_migrations()
