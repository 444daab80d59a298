"""Access tokens may be sessions of browsers, which end with the token that began them."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Apply."""
    parent: sa.Column[str] = sa.Column("parent_id", sa.String(), nullable=True)
    op.add_column("access_token", parent)
    op.create_index("ix_access_token_parent_id", "access_token", ["parent_id"])
