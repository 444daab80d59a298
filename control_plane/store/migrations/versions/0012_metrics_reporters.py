"""Who reports metrics is stored once, no longer with each endpoint."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "metrics_reporter",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("in_flight_json", sa.String(), nullable=False),
        sa.Column("seen_ms", sa.BigInteger(), nullable=False),
    )
