"""Control planes tell each other which workers are connected to them."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0020"


def upgrade() -> None:
    """Apply."""
    op.add_column(
        "replica", sa.Column("connected", sa.String(), nullable=False, server_default="[]")
    )
