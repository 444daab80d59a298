"""Rows of usage tell what guardrails have found."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Apply."""
    for name, default in (("guardrail_action", ""), ("guardrail_json", "{}")):
        column: sa.Column[str] = sa.Column(
            name, sa.String(), nullable=False, server_default=default
        )
        op.add_column("usage_query", column)
