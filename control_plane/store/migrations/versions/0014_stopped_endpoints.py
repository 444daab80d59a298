"""Endpoints of hosted models can be stopped."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Apply."""
    stopped: sa.Column[bool] = sa.Column(
        "stopped", sa.Boolean(), nullable=False, server_default=sa.false()
    )
    op.add_column("endpoint", stopped)
