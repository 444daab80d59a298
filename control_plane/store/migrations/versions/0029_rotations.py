"""The log tells an endpoint that changed from one of whose secrets the value changed."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0027"


def upgrade() -> None:
    """Apply."""
    op.add_column("event", sa.Column("secret", sa.String(), nullable=True))
