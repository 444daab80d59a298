"""What replicas of models were measured to do is kept."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "measured_throughput",
        sa.Column("key", sa.String(), primary_key=True),
        sa.Column("tokens_per_second", sa.Float(), nullable=False),
        sa.Column("measured_ms", sa.BigInteger(), nullable=False),
    )
