"""Totals of hours and days by one dimension, which are few where those by all are many."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    """Apply."""
    op.add_column(
        "usage_period", sa.Column("margins_at", sa.Integer(), nullable=False, server_default="-1")
    )
    op.add_column(
        "usage_period", sa.Column("margins", sa.String(), nullable=False, server_default="")
    )
    op.create_table(
        "usage_margin",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("length_ms", sa.Integer(), nullable=False),
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("dimension", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=True),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("failed_requests", sa.BigInteger(), nullable=False),
        sa.Column("unknown_requests", sa.BigInteger(), nullable=False),
        sa.Column("input_token_count", sa.BigInteger(), nullable=True),
        sa.Column("output_token_count", sa.BigInteger(), nullable=True),
        sa.Column("cached_token_count", sa.BigInteger(), nullable=True),
        sa.Column("reasoning_token_count", sa.BigInteger(), nullable=True),
        sa.Column("input_character_count", sa.BigInteger(), nullable=False),
        sa.Column("output_character_count", sa.BigInteger(), nullable=False),
        sa.Column("latency_ms", sa.Float(), nullable=True),
    )
    op.create_index("usage_margin_period", "usage_margin", ["length_ms", "start_ms"])
    op.create_index(
        "usage_margin_dimension", "usage_margin", ["dimension", "length_ms", "start_ms"]
    )
