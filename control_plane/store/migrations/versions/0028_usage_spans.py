"""Totals of several hours or days together."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "usage_span",
        sa.Column("length_ms", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("start_ms", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("changes", sa.BigInteger(), nullable=False),
        sa.Column("has_totals", sa.Boolean(), nullable=False),
    )
