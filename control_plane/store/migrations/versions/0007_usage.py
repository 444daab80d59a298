"""The usage ledger."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_TEXTS = (
    "journal_id",
    "state",
    "request_id",
    "client_request_id",
    "usage_context_json",
    "endpoint_id",
    "endpoint_name",
    "tags_json",
    "served_entity_id",
    "served_entity_name",
    "task",
    "requester_id",
    "requester",
    "error",
    "attempts_json",
)
_TOKENS = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "usage",
        sa.Column("id", sa.String(), primary_key=True),
        *(sa.Column(name, sa.String(), nullable=False) for name in _TEXTS),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.Column("config_version", sa.Integer(), nullable=False),
        sa.Column("streaming", sa.Boolean(), nullable=False),
        sa.Column("status_code", sa.Integer(), nullable=True),
        *(sa.Column(name, sa.BigInteger(), nullable=True) for name in _TOKENS),
        sa.Column("estimated", sa.Boolean(), nullable=False),
        sa.Column("input_characters", sa.BigInteger(), nullable=False),
        sa.Column("output_characters", sa.BigInteger(), nullable=False),
        sa.Column("latency_ms", sa.Float(), nullable=True),
        sa.Column("first_chunk_ms", sa.Float(), nullable=True),
    )
    op.create_index("usage_time", "usage", ["time_ms", "id"])
    op.create_index("usage_endpoint", "usage", ["endpoint_id", "time_ms"])
    op.create_index("usage_endpoint_name", "usage", ["endpoint_name", "time_ms"])
    op.create_index("usage_requester", "usage", ["requester", "time_ms"])
    is_running = sa.text("state = 'RUNNING'")
    op.create_index(
        "usage_running",
        "usage",
        ["journal_id"],
        sqlite_where=is_running,
        postgresql_where=is_running,
    )
    op.create_table(
        "usage_journal",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("seen_ms", sa.BigInteger(), nullable=False, index=True),
    )
