"""Where an endpoint's telemetry is recorded: compiled from its settings.

Part of the snapshot (`snapshot.py`); `payloads/signals.py` records what it says.
"""

from collections.abc import Mapping

from modelserving.worker.v1.snapshot_pb2 import EndpointResource

from modelplane.adapters.shared.telemetry_tables import Kind, tables_of

# By what is recorded: catalog, schema and name, with slashes, below the root of all tables.
TelemetryTables = Mapping[Kind, str]


def compile_telemetry_tables(resource: EndpointResource) -> TelemetryTables | None:
    """Return the tables of an endpoint's telemetry, without that of payloads; None: none."""
    tables = dict(tables_of(resource.telemetry_config))
    tables.pop(Kind.PAYLOADS, None)
    return {kind: place_of(name) for kind, name in tables.items()} or None


def place_of(name: str) -> str:
    """Return the place of a table below the root of all tables."""
    return name.replace(".", "/")
