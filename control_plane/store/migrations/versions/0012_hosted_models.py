"""Hosted models: what versions mean by them, their groups of replicas, and what runs those."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Apply."""
    # Each database writes an empty string of bytes in its own way.
    empty = "x''" if op.get_bind().dialect.name == "sqlite" else "''"
    hosted = sa.Column("hosted", sa.LargeBinary(), nullable=False, server_default=sa.text(empty))
    op.add_column("endpoint_config", hosted)
    _create_groups()
    op.create_table(
        "launcher",
        sa.Column("pool", sa.String(), primary_key=True),
        sa.Column("launcher_id", sa.String(), nullable=False),
        sa.Column("backend", sa.String(), nullable=False),
        sa.Column("lease_until_ms", sa.BigInteger(), nullable=False),
        sa.Column("capacity", sa.LargeBinary(), nullable=False),
    )


def _create_groups() -> None:
    endpoint = sa.ForeignKey("endpoint.id", ondelete="CASCADE")
    op.create_table(
        "replica_group",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("endpoint_id", sa.String(), endpoint, nullable=False, index=True),
        sa.Column("served_entity_name", sa.String(), nullable=False),
        sa.Column("model", sa.LargeBinary(), nullable=False),
        sa.Column("environment_json", sa.String(), nullable=False),
        sa.Column("begun_ms", sa.BigInteger(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("desired", sa.Integer(), nullable=False),
        sa.Column("phase", sa.String(), nullable=False),
        sa.Column("progress", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("ready_once", sa.Boolean(), nullable=False),
        sa.Column("start_ms", sa.Integer(), nullable=False),
        sa.Column("last_request_ms", sa.BigInteger(), nullable=False),
        sa.Column("replicas", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "group_log",
        _group(),
        sa.Column("kind", sa.String(), primary_key=True),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "group_demand",
        _group(),
        sa.Column("worker_id", sa.String(), primary_key=True),
        sa.Column("demand", sa.LargeBinary(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
    )


def _group() -> sa.Column[str]:
    target = sa.ForeignKey("replica_group.id", ondelete="CASCADE")
    return sa.Column("group_id", sa.String(), target, primary_key=True)
