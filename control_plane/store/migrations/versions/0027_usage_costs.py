"""Usage by provider and model, with latencies that percentiles are told of, and prices."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    """Apply."""
    for table in ("usage_origin", "usage_margin"):
        for name in ("provider", "model"):
            op.add_column(table, sa.Column(name, sa.String(), nullable=False, server_default=""))
    for table in ("usage_total", "usage_margin"):
        op.add_column(table, sa.Column("latencies", sa.String(), nullable=True))
    op.add_column(
        "usage_margin", sa.Column("errors", sa.BigInteger(), nullable=False, server_default="0")
    )
    op.add_column(
        "usage_period", sa.Column("told_at", sa.Integer(), nullable=False, server_default="-1")
    )
    op.create_table(
        "usage_price",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.Column("input", sa.BigInteger(), nullable=False),
        sa.Column("output", sa.BigInteger(), nullable=False),
        sa.Column("cached_input", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.String(), nullable=False),
    )
    op.create_index(
        "usage_price_model", "usage_price", ["provider", "model", "from_ms"], unique=True
    )
