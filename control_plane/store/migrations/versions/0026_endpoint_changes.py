"""Changes of endpoints are told to those who look at them, and lists are read in any order."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"

_ORDERS = ("created_ms", "updated_ms", "creator")


def upgrade() -> None:
    """Apply."""
    op.add_column(
        "revision", sa.Column("changes", sa.BigInteger(), nullable=False, server_default="0")
    )
    op.create_table(
        "endpoint_change",
        sa.Column("revision", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("endpoint_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("grants_json", sa.String(), nullable=False),
        sa.Column("config_version", sa.Integer(), nullable=True),
        sa.Column("phase", sa.String(), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
    )
    for column in _ORDERS:
        op.create_index(f"endpoint_by_{column}", "endpoint", [column, "name"])
