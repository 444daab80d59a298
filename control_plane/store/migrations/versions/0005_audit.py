"""The audit log."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Apply."""
    identifier = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    texts = (
        "principal_id",
        "principal_name",
        "action",
        "object_type",
        "object_name",
        "outcome",
        "error_code",
        "request_id",
        "source_address",
        "details_json",
    )
    op.create_table(
        "audit_event",
        sa.Column("id", identifier, primary_key=True),
        sa.Column("time_ms", sa.BigInteger(), nullable=False, index=True),
        sa.Column("http_status", sa.Integer(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in texts),
        sqlite_autoincrement=True,
    )
