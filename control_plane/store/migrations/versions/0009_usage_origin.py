"""Usage with what queries have in common stored once."""

from uuid import uuid4

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_IN_COMMON = (
    "endpoint_id",
    "endpoint_name",
    "tags_json",
    "config_version",
    "served_entity_id",
    "served_entity_name",
    "task",
    "requester_id",
    "requester",
)
_TOKENS = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")
_OF_QUERIES = (
    "id",
    "endpoint_id",
    "time_ms",
    "state",
    "request_id",
    "client_request_id",
    "usage_context_json",
    "streaming",
    "input_characters",
    "status_code",
    "error",
    *_TOKENS,
    "estimated",
    "output_characters",
    "latency_ms",
    "first_chunk_ms",
    "attempts_json",
)
_DAY_MS = 86_400_000


def upgrade() -> None:
    """Apply."""
    _create_tables()
    _keep_rows()
    op.drop_table("usage")
    op.create_index("usage_query_time", "usage_query", ["time_ms"])
    op.create_index("usage_query_endpoint", "usage_query", ["endpoint_id", "time_ms"])
    op.create_index("usage_query_origin", "usage_query", ["origin_id"])
    is_running = sa.text("state = 'RUNNING'")
    op.create_index(
        "usage_query_running",
        "usage_query",
        ["id"],
        sqlite_where=is_running,
        postgresql_where=is_running,
    )


def _create_tables() -> None:
    op.create_table(
        "usage_origin",
        sa.Column("id", sa.LargeBinary(), primary_key=True),
        sa.Column("stored_ms", sa.BigInteger(), nullable=False, index=True),
        sa.Column("endpoint_id", sa.String(), nullable=False),
        sa.Column("endpoint_name", sa.String(), nullable=False, index=True),
        sa.Column("tags_json", sa.String(), nullable=False),
        sa.Column("config_version", sa.Integer(), nullable=False),
        sa.Column("served_entity_id", sa.String(), nullable=False),
        sa.Column("served_entity_name", sa.String(), nullable=False),
        sa.Column("task", sa.String(), nullable=False),
        sa.Column("requester_id", sa.String(), nullable=False),
        sa.Column("requester", sa.String(), nullable=False, index=True),
    )
    op.create_table(
        "usage_query",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("origin_id", sa.LargeBinary(), nullable=False),
        sa.Column("endpoint_id", sa.String(), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("client_request_id", sa.String(), nullable=False),
        sa.Column("usage_context_json", sa.String(), nullable=False),
        sa.Column("streaming", sa.Boolean(), nullable=False),
        sa.Column("input_characters", sa.BigInteger(), nullable=False),
        sa.Column("status_code", sa.Integer(), nullable=True),
        sa.Column("error", sa.String(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=True) for name in _TOKENS),
        sa.Column("estimated", sa.Boolean(), nullable=False),
        sa.Column("output_characters", sa.BigInteger(), nullable=False),
        sa.Column("latency_ms", sa.Float(), nullable=True),
        sa.Column("first_chunk_ms", sa.Float(), nullable=True),
        sa.Column("attempts_json", sa.String(), nullable=False),
    )


def _keep_rows() -> None:
    """Copy the rows of the table that was there before."""
    old = sa.table("usage", *(sa.column(name) for name in {*_IN_COMMON, *_OF_QUERIES}))
    names = ("origin_id", *_OF_QUERIES)
    query = sa.table("usage_query", *(sa.column(name) for name in names))
    columns = ("id", "stored_ms", *_IN_COMMON)
    origin = sa.table("usage_origin", *(sa.column(name) for name in columns))
    connection = op.get_bind()
    in_common = [old.c[name] for name in _IN_COMMON]
    newest = sa.func.max(old.c.time_ms).label("newest")
    origins = [
        {
            "id": uuid4().bytes,
            "stored_ms": row.newest // _DAY_MS * _DAY_MS,
            **{name: getattr(row, name) for name in _IN_COMMON},
        }
        for row in connection.execute(sa.select(newest, *in_common).group_by(*in_common))
    ]
    if origins:
        connection.execute(origin.insert(), origins)
    same = sa.and_(*(old.c[name] == origin.c[name] for name in _IN_COMMON))
    rows = sa.select(origin.c.id, *(old.c[name] for name in _OF_QUERIES)).join(origin, same)
    connection.execute(query.insert().from_select([*names], rows))
