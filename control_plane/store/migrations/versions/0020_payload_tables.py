"""A payload table is one endpoint's."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0014"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "payload_table",
        sa.Column("location", sa.String(), primary_key=True),
        sa.Column("endpoint_id", sa.String(), nullable=False),
        sa.Column("creator_id", sa.String(), nullable=False),
    )
