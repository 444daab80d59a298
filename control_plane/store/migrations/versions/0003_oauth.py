"""Client secrets, the keys that tokens are signed with, and outside issuers."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Apply."""
    principal = sa.ForeignKey("principal.id", ondelete="CASCADE")
    op.create_table(
        "client_secret",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("principal_id", sa.String(), principal, nullable=False, index=True),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expiry_ms", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "signing_key",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "issuer",
        sa.Column("issuer", sa.String(), primary_key=True),
        sa.Column("settings_json", sa.String(), nullable=False),
        sa.Column("keys_json", sa.String(), nullable=False),
    )
