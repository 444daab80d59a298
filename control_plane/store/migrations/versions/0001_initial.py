"""The first schema: endpoints and their versions, the revision log, secrets and access tokens."""

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Apply."""
    _create_revision_log()
    _create_endpoints()
    _create_secrets()
    op.create_table(
        "access_token",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("digest", sa.LargeBinary(), nullable=False, unique=True),
        sa.Column("principal", sa.String(), nullable=False),
        sa.Column("admin", sa.Boolean(), nullable=False),
        sa.Column("comment", sa.String(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expiry_ms", sa.BigInteger(), nullable=True),
    )
    op.create_table(
        "replica",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("seen_ms", sa.BigInteger(), nullable=False),
        sa.Column("workers", sa.Integer(), nullable=False),
        sa.Column("acked_revision", sa.BigInteger(), nullable=False),
    )


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


def _create_endpoints() -> None:
    op.create_table(
        "endpoint",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False, unique=True),
        sa.Column("creator", sa.String(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("budget_policy_id", sa.String(), nullable=True),
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
        sa.Column("tags_json", sa.String(), nullable=False),
        sa.Column("rate_limits_json", sa.String(), nullable=False),
        sa.Column("ai_gateway_json", sa.String(), nullable=True),
        sa.Column("email_notifications_json", sa.String(), nullable=True),
    )
    op.create_table(
        "endpoint_config",
        _endpoint_id(),
        sa.Column("version", sa.Integer(), primary_key=True),
        sa.Column("config_json", sa.String(), nullable=False),
        sa.Column("creator", sa.String(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("outcome_message", sa.String(), nullable=False),
    )
    op.create_table(
        "credential",
        _endpoint_id(),
        sa.Column("version", sa.Integer(), primary_key=True),
        sa.Column("path", sa.String(), primary_key=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
    )


def _create_secrets() -> None:
    op.create_table(
        "secret_scope",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("creator", sa.String(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
    )
    scope = sa.ForeignKey("secret_scope.name", ondelete="CASCADE")
    op.create_table(
        "secret",
        sa.Column("scope", sa.String(), scope, primary_key=True),
        sa.Column("key", sa.String(), primary_key=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
    )


def _endpoint_id() -> sa.Column[str]:
    endpoint = sa.ForeignKey("endpoint.id", ondelete="CASCADE")
    return sa.Column("endpoint_id", sa.String(), endpoint, primary_key=True)
