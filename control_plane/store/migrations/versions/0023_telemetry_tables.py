"""Tables that endpoints write are of payloads or of telemetry, and stay so."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    """Apply."""
    op.add_column(
        "payload_table", sa.Column("kind", sa.String(), nullable=False, server_default="")
    )
