"""Where an endpoint's payloads are recorded: compiled from its settings.

Part of the snapshot (`snapshot.py`); `payloads/` records what it says.
"""

from dataclasses import dataclass
from sys import intern

from modelserving.v1.ai_gateway_pb2 import InferenceTableConfig

SUFFIX = "_payload"


@dataclass(frozen=True, slots=True)
class PayloadTable:
    """The table of an endpoint's payloads.

    Attributes:
        location: Catalog, schema and name, with slashes: its place below the root of all tables.
    """

    location: str


def compile_payload_table(name: str, config: InferenceTableConfig) -> PayloadTable | None:
    """Return the table that the settings of the endpoint `name` ask for; None: none."""
    if not config.enabled:
        return None
    table = (config.table_name_prefix or name) + SUFFIX
    return PayloadTable(intern(f"{config.catalog_name}/{config.schema_name}/{table}".lower()))
