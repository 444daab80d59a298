"""The schema of the first release.

Schemas 0001 to 0010 were those of commits before it; `store.carry_over` knows the last of them.
"""

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = None


def upgrade() -> None:
    """Apply."""
    _create_revision_log()
    create_endpoints()
    _create_secrets()
    _create_principals()
    _create_tokens()
    create_issuers()
    _create_audit_log()
    _create_limits()
    _create_usage()


def _create_revision_log() -> None:
    counter = op.create_table(
        "revision",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("compacted", sa.BigInteger(), nullable=False),
        sa.Column("store_id", sa.String(), nullable=False),
    )
    row = {"id": 1, "revision": 0, "compacted": 0, "store_id": uuid.uuid4().hex}
    op.bulk_insert(counter, [row])
    op.create_table(
        "event",
        sa.Column("revision", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
    )
    op.create_table(
        "replica",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("seen_ms", sa.BigInteger(), nullable=False),
        sa.Column("workers", sa.Integer(), nullable=False),
        sa.Column("acked_revision", sa.BigInteger(), nullable=False),
    )


def create_endpoints() -> None:
    """Create endpoints and all that dies with them."""
    op.create_table(
        "endpoint",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False, unique=True),
        sa.Column("creator", sa.String(), nullable=False),
        sa.Column("creator_id", sa.String(), nullable=False),
        sa.Column("grants_json", sa.String(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.Column("settings", sa.LargeBinary(), nullable=False),
        sa.Column("last_version", sa.Integer(), nullable=False),
        sa.Column("active_version", sa.Integer(), nullable=True),
        sa.Column("pending_version", sa.Integer(), nullable=True),
        sa.Column("phase", sa.String(), nullable=False, index=True),
        sa.Column("phase_revision", sa.BigInteger(), nullable=False),
        sa.Column("phase_deadline_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_update", sa.String(), nullable=False),
        sa.Column("last_update_message", sa.String(), nullable=False),
        sa.Column("ready", sa.Boolean(), nullable=False, index=True),
        sa.Column("activated_revision", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "endpoint_config",
        _reference("endpoint", primary_key=True),
        sa.Column("version", sa.Integer(), primary_key=True),
        sa.Column("config", sa.LargeBinary(), nullable=False),
        sa.Column("creator", sa.String(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("outcome_message", sa.String(), nullable=False),
    )
    op.create_table(
        "credential",
        _reference("endpoint", primary_key=True),
        sa.Column("version", sa.Integer(), primary_key=True),
        sa.Column("path", sa.String(), primary_key=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
    )
    _create_references_and_refusals()
    _create_metrics()


def _create_metrics() -> None:
    op.create_table(
        "endpoint_metrics",
        _reference("endpoint", primary_key=True),
        sa.Column("totals_json", sa.String(), nullable=False),
    )
    op.create_table(
        "metrics_reporter",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("in_flight_json", sa.String(), nullable=False),
        sa.Column("seen_ms", sa.BigInteger(), nullable=False),
    )


def _create_references_and_refusals() -> None:
    op.create_table(
        "secret_reference",
        sa.Column("endpoint_id", sa.String(), primary_key=True),
        sa.Column("version", sa.Integer(), primary_key=True),
        sa.Column("scope", sa.String(), primary_key=True),
        sa.Column("key", sa.String(), primary_key=True),
        sa.ForeignKeyConstraint(
            ["endpoint_id", "version"],
            ["endpoint_config.endpoint_id", "endpoint_config.version"],
            ondelete="CASCADE",
        ),
    )
    op.create_index("secret_reference_secret", "secret_reference", ["scope", "key"])
    op.create_table(
        "refusal",
        _reference("endpoint", primary_key=True),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("serving", sa.Boolean(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
    )


def _create_secrets() -> None:
    op.create_table(
        "secret_scope",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("creator", sa.String(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("acl_json", sa.String(), nullable=False),
        sa.Column("backend", sa.String(), nullable=False),
    )
    scope = sa.ForeignKey("secret_scope.name", ondelete="CASCADE")
    op.create_table(
        "secret",
        sa.Column("scope", sa.String(), scope, primary_key=True),
        sa.Column("key", sa.String(), primary_key=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "signing_key",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
    )


def _create_principals() -> None:
    op.create_table(
        "principal",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False, unique=True),
        sa.Column("display_name", sa.String(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("tokens_valid_from_ms", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "principal_group",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False, unique=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
    )
    group = sa.ForeignKey("principal_group.id", ondelete="CASCADE")
    op.create_table(
        "group_member",
        sa.Column("group_id", sa.String(), group, primary_key=True),
        _reference("principal", primary_key=True, index=True),
    )


def _create_tokens() -> None:
    op.create_table(
        "access_token",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("digest", sa.LargeBinary(), nullable=False, unique=True),
        _reference("principal", index=True),
        sa.Column("comment", sa.String(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expiry_ms", sa.BigInteger(), nullable=True),
    )
    op.create_table(
        "client_secret",
        sa.Column("id", sa.String(), primary_key=True),
        _reference("principal", index=True),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expiry_ms", sa.BigInteger(), nullable=False),
    )


def create_issuers() -> None:
    """Create the outside issuers of tokens."""
    op.create_table(
        "issuer",
        sa.Column("issuer", sa.String(), primary_key=True),
        sa.Column("resource", sa.LargeBinary(), nullable=False),
    )


def _create_audit_log() -> None:
    identifier = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    texts = (
        "principal_id",
        "principal_name",
        "action",
        "object_type",
        "object_name",
        "outcome",
        "error_code",
        "request_id",
        "source_address",
        "details_json",
    )
    op.create_table(
        "audit_event",
        sa.Column("id", identifier, primary_key=True),
        sa.Column("time_ms", sa.BigInteger(), nullable=False, index=True),
        sa.Column("http_status", sa.Integer(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in texts),
        sqlite_autoincrement=True,
    )


def used_quota() -> sa.Column[int]:
    """Return the column for what is known to be used of what was granted."""
    return sa.Column("used", sa.BigInteger(), nullable=False, server_default="0")


def _create_limits() -> None:
    op.create_table(
        "quota",
        sa.Column("key", sa.LargeBinary(), primary_key=True),
        sa.Column("window", sa.BigInteger(), nullable=False),
        sa.Column("granted", sa.BigInteger(), nullable=False),
        sa.Column("debt", sa.BigInteger(), nullable=False),
        used_quota(),
    )


def _create_usage() -> None:
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
    _create_queries()
    op.create_table(
        "usage_journal",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("seen_ms", sa.BigInteger(), nullable=False, index=True),
    )


def _create_queries() -> None:
    tokens = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")
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
        *(sa.Column(name, sa.BigInteger(), nullable=True) for name in tokens),
        sa.Column("estimated", sa.Boolean(), nullable=False),
        sa.Column("output_characters", sa.BigInteger(), nullable=False),
        sa.Column("latency_ms", sa.Float(), nullable=True),
        sa.Column("first_chunk_ms", sa.Float(), nullable=True),
        sa.Column("attempts_json", sa.String(), nullable=False),
    )
    op.create_index("usage_query_time", "usage_query", ["time_ms"])
    op.create_index("usage_query_endpoint", "usage_query", ["endpoint_id", "time_ms"])
    op.create_index("usage_query_origin", "usage_query", ["origin_id"])
    is_running = sa.text("state = 'RUNNING'")
    only = {"sqlite_where": is_running, "postgresql_where": is_running}
    op.create_index("usage_query_running", "usage_query", ["id"], **only)  # type: ignore[arg-type]


def _reference(
    table: str, *, primary_key: bool = False, index: bool | None = None
) -> sa.Column[str]:
    target = sa.ForeignKey(f"{table}.id", ondelete="CASCADE")
    return sa.Column(
        f"{table}_id", sa.String(), target, primary_key=primary_key, nullable=False, index=index
    )
