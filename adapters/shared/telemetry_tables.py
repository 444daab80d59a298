"""Which tables an endpoint's telemetry goes to, for both planes; pure.

The control plane checks what is asked for (`control_plane/endpoints/telemetry_rules.py`), a worker
records it (`data_plane/snapshots/telemetry_tables.py`).
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from modelserving.v1.telemetry_pb2 import TelemetryConfig


class Kind(StrEnum):
    """What the rows of a table are."""

    # No name, as before there were others.
    PAYLOADS = ""
    LOGS = "logs"
    METRICS = "metrics"
    SPANS = "spans"


class Feature(NamedTuple):
    """What can be recorded.

    Attributes:
        kind: What the rows of its table are.
        table: Field that names the table.
        suffix: What comes after that name.
    """

    kind: Kind
    table: str
    suffix: str = ""


_PREFIX = "TELEMETRY_FEATURE_"
FEATURES: Mapping[str, Feature] = {
    f"{_PREFIX}INFERENCE_TABLE": Feature(Kind.PAYLOADS, "logs_table", "_payload"),
    f"{_PREFIX}LOGS": Feature(Kind.LOGS, "logs_table"),
    f"{_PREFIX}METRICS": Feature(Kind.METRICS, "metrics_table"),
    f"{_PREFIX}TRACES": Feature(Kind.SPANS, "traces_table"),
}


def tables_of(config: TelemetryConfig) -> Mapping[Kind, str]:
    """Return the full names of the tables that get something, in lower case."""
    wanted = config.enabled_telemetry_features or FEATURES
    tables: dict[Kind, str] = {}
    for name in wanted:
        # A newer control plane may know others.
        if (feature := FEATURES.get(name)) and (
            table := getattr(config.table_names, feature.table)
        ):
            tables[feature.kind] = f"{table}{feature.suffix}".lower()
    return tables
