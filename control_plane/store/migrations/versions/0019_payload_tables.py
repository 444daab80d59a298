"""A payload table is one endpoint's."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "payload_table",
        sa.Column("location", sa.String(), primary_key=True),
        sa.Column("endpoint_id", sa.String(), nullable=False),
        sa.Column("creator_id", sa.String(), nullable=False),
    )
