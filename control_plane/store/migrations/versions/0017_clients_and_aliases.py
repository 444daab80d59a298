"""The kind of client of usage, and aliases of endpoints."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Apply."""
    client: sa.Column[str] = sa.Column("client", sa.String(), nullable=False, server_default="")
    op.add_column("usage_origin", client)
    endpoint = sa.ForeignKey("endpoint.id", ondelete="CASCADE")
    op.create_table(
        "endpoint_alias",
        sa.Column("alias", sa.String(), primary_key=True),
        sa.Column("endpoint_id", sa.String(), endpoint, nullable=False, index=True),
    )
