"""What of the quota that was granted is known to be used."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Apply."""
    # Replicas of the release before write rows without it while they are replaced.
    column = sa.Column("used", sa.BigInteger(), nullable=False, server_default="0")
    op.add_column("quota", column)
