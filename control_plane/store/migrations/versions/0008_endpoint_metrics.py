"""What workers have counted for each endpoint."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "endpoint_metrics",
        sa.Column("endpoint_id", sa.String(), primary_key=True),
        sa.Column("totals_json", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["endpoint_id"], ["endpoint.id"], ondelete="CASCADE"),
    )
