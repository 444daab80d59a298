"""The course of what workers count, and in which detail it is recorded."""

import sqlalchemy as sa
from alembic import op

from modelplane.control_plane.clock import system_clock

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    """Apply."""
    for name in ("series_from_ms", "live_from_ms", "live_until_ms"):
        op.add_column(
            "endpoint_metrics",
            sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"),
        )
    op.create_table(
        "series",
        sa.Column(
            "endpoint_id",
            sa.String(),
            sa.ForeignKey("endpoint_metrics.endpoint_id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("step_seconds", sa.Integer(), primary_key=True),
        sa.Column("step", sa.BigInteger(), primary_key=True),
        sa.Column("served_entity_name", sa.String(), primary_key=True),
        sa.Column("counts", sa.LargeBinary(), nullable=False),
    )
    # Of what was counted before, it is not known when.
    metrics = sa.table("endpoint_metrics", sa.column("series_from_ms", sa.BigInteger()))
    op.execute(metrics.update().values(series_from_ms=system_clock()))
