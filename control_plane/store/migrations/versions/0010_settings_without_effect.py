"""Endpoints without the settings that earlier releases stored and nothing ever acted on.

Those of them that are refused now are gone, and the log says of which endpoints: else they would
be shown as if they were in force.
"""

import json
import logging

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

# Alembic loads this file under a name of its own.
_log = logging.getLogger("modelplane.control_plane.store.migrations")
_GATEWAY = ("guardrails", "inference_table_config")
_COLUMNS = {
    "email_notifications_json": "email_notifications",
    "budget_policy_id": "budget_policy_id",
}


def upgrade() -> None:
    """Apply."""
    names = ("id", "name", "ai_gateway_json", *_COLUMNS)
    endpoint = sa.table("endpoint", *(sa.column(name) for name in names))
    connection = op.get_bind()
    for row in connection.execute(sa.select(endpoint).order_by(endpoint.c.name)).mappings().all():
        gateway = json.loads(row["ai_gateway_json"] or "{}")
        gone = [f"ai_gateway.{name}" for name in _GATEWAY if gateway.pop(name, None)]
        gone += [name for column, name in _COLUMNS.items() if row[column] is not None]
        if not gone:
            continue
        _log.warning(
            "Endpoint '%s' had settings of an earlier release that never had an effect; they are "
            "no longer shown: %s",
            row["name"],
            ", ".join(gone),
        )
        text = json.dumps(gateway, sort_keys=True, separators=(",", ":")) if gateway else None
        values = dict.fromkeys(_COLUMNS) | {"ai_gateway_json": text}
        connection.execute(endpoint.update().where(endpoint.c.id == row["id"]).values(values))
