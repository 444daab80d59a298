"""Secret scopes whose secrets another store keeps."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Apply."""
    backend = sa.Column("backend", sa.String(), nullable=False, server_default="DATABRICKS")
    op.add_column("secret_scope", backend)
