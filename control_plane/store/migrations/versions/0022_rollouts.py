"""How versions were rolled out: when each step was over, what each worker did, and each group."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "rollout",
        sa.Column("endpoint_id", sa.String(), primary_key=True),
        sa.Column("version", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("prepare_revision", sa.BigInteger(), nullable=False),
        sa.Column("activate_revision", sa.BigInteger(), nullable=True),
        sa.Column("prepared_ms", sa.BigInteger(), nullable=True),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.Column("entities", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["endpoint_id", "version"],
            ["endpoint_config.endpoint_id", "endpoint_config.version"],
            ondelete="CASCADE",
        ),
    )
    op.create_table(
        "rollout_workers",
        sa.Column("endpoint_id", sa.String(), primary_key=True),
        sa.Column("version", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("replica_id", sa.String(), primary_key=True),
        sa.Column("workers", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["endpoint_id", "version"],
            ["rollout.endpoint_id", "rollout.version"],
            ondelete="CASCADE",
        ),
    )
    empty = "''" if op.get_bind().dialect.name == "postgresql" else "X''"
    op.add_column(
        "replica_group",
        sa.Column("history", sa.LargeBinary(), nullable=False, server_default=sa.text(empty)),
    )
