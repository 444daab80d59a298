"""Rules for where an endpoint's telemetry is recorded; pure.

Before: `setting_changes`, `settings`. After: `adapters.shared.telemetry_tables`. Beside:
`payload_tables`, which says whose a table is.
"""

from collections import Counter

from modelserving.v1.telemetry_pb2 import TelemetryConfig

from modelplane.adapters.shared.telemetry_tables import FEATURES, Kind, tables_of
from modelplane.control_plane.endpoints.payload_tables import (
    NAME,
    require_available,
    require_fraction,
)
from modelplane.control_plane.errors import InvalidParameter

WHERE = "telemetry_config"
_PARTS = 3


def build_telemetry(given: TelemetryConfig, *, available: bool) -> TelemetryConfig | None:
    """Return what is recorded of an endpoint, as it is given; None: nothing.

    Args:
        given: What the caller sends.
        available: Whether the deployment writes tables.

    Raises:
        InvalidParameter: It breaks a rule, or the deployment writes no tables.
    """
    if given == TelemetryConfig():
        return None
    require_available(WHERE, available=available)
    _check_features(given)
    _check_names(given)
    _check_use(given)
    used = tables_of(given)
    for name, count in Counter(used.values()).items():
        if count > 1:
            raise InvalidParameter(
                f"{WHERE}.table_names: {name} would get rows of {count} kinds; name a table for "
                "each."
            )
    payloads = given.inference_table_config
    if payloads.HasField("sampling_fraction"):
        where = f"{WHERE}.inference_table_config.sampling_fraction"
        require_fraction(where, payloads.sampling_fraction)
        if Kind.PAYLOADS not in used:
            raise InvalidParameter(
                f"{where} is set, and no payloads are recorded: name a logs_table and let "
                "TELEMETRY_FEATURE_INFERENCE_TABLE be enabled, or leave it out."
            )
    return given


def show_telemetry(stored: TelemetryConfig) -> TelemetryConfig:
    """Return what is recorded as answers tell it: without the names of the tables."""
    told = TelemetryConfig()
    told.CopyFrom(stored)
    told.ClearField("table_names")
    if name := tables_of(stored).get(Kind.PAYLOADS):
        told.inference_table_config.name = name
    return told


def _check_features(given: TelemetryConfig) -> None:
    for name, count in Counter(given.enabled_telemetry_features).items():
        if name not in FEATURES:
            raise InvalidParameter(
                f"{WHERE}.enabled_telemetry_features: '{name}' is unknown; use "
                f"{', '.join(FEATURES)}."
            )
        if count > 1:
            raise InvalidParameter(
                f"{WHERE}.enabled_telemetry_features has {name} {count} times; keep one of them."
            )


def _check_names(given: TelemetryConfig) -> None:
    fields = sorted({feature.table for feature in FEATURES.values()})
    named = [field for field in fields if getattr(given.table_names, field)]
    if not named:
        raise InvalidParameter(
            f"{WHERE}.table_names is required; name a table in {', '.join(fields)}, or leave "
            f"`{WHERE}` out."
        )
    for field in named:
        parts = getattr(given.table_names, field).split(".")
        if len(parts) != _PARTS or not all(map(NAME.fullmatch, parts)):
            raise InvalidParameter(
                f"{WHERE}.table_names.{field} must be the catalog, the schema and the name of a "
                "table, with dots between them: each up to 128 letters, digits, '-' and '_', and "
                "not '-' at its begin."
            )


def _check_use(given: TelemetryConfig) -> None:
    """Check that each feature has its table, and each table something to get."""
    enabled = given.enabled_telemetry_features
    for name in enabled:
        if not getattr(given.table_names, FEATURES[name].table):
            raise InvalidParameter(
                f"{WHERE}.table_names.{FEATURES[name].table} is required for {name}; name it, or "
                "leave the feature out."
            )
    wanted = {FEATURES[name].table for name in enabled or FEATURES}
    for field in sorted({feature.table for feature in FEATURES.values()} - wanted):
        if getattr(given.table_names, field):
            raise InvalidParameter(
                f"{WHERE}.table_names.{field} would get nothing: enable a feature that writes it, "
                "or leave the name out."
            )
