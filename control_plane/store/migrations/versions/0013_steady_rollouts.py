"""Rollouts are measured, by each replica, and have no deadline in the machine's time."""

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Apply."""
    op.drop_column("endpoint", "phase_deadline_ms")
