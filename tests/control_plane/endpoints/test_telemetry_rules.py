"""What may be recorded of telemetry, and what is refused with what to change."""

import pytest
from modelserving.v1 import rules_pb2
from modelserving.v1.telemetry_pb2 import TelemetryConfig, UnityCatalogTableNames

from modelplane.adapters.shared.telemetry_tables import FEATURES, Kind, tables_of
from modelplane.control_plane.endpoints.telemetry_rules import build_telemetry, show_telemetry
from modelplane.control_plane.errors import InvalidParameter

NAMES = {"logs_table": "a.b.L", "metrics_table": "a.b.m", "traces_table": "a.b.t"}
LOGS, METRICS = "TELEMETRY_FEATURE_LOGS", "TELEMETRY_FEATURE_METRICS"
PAYLOADS = "TELEMETRY_FEATURE_INFERENCE_TABLE"


def config(
    names: dict[str, str] | None = None, *features: str, sampling: float | None = None
) -> TelemetryConfig:
    built = TelemetryConfig(enabled_telemetry_features=features)
    if names is not None:
        built.table_names.CopyFrom(UnityCatalogTableNames(**names))
    if sampling is not None:
        built.inference_table_config.sampling_fraction = sampling
    return built


def test_without_features_all_tables_that_are_named_get_something() -> None:
    built = build_telemetry(config(NAMES), available=True)
    assert built
    assert tables_of(built) == {
        Kind.PAYLOADS: "a.b.l_payload",
        Kind.LOGS: "a.b.l",
        Kind.METRICS: "a.b.m",
        Kind.SPANS: "a.b.t",
    }


def test_of_features_only_those_that_are_named_are_recorded() -> None:
    built = build_telemetry(config({"logs_table": "a.b.l"}, LOGS), available=True)
    assert built
    assert tables_of(built) == {Kind.LOGS: "a.b.l"}
    shown = show_telemetry(built)
    assert shown == TelemetryConfig(enabled_telemetry_features=[LOGS])


def test_nothing_is_nothing_whether_tables_are_written_or_not() -> None:
    assert build_telemetry(TelemetryConfig(), available=False) is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (config(None, LOGS), "table_names is required; name a table in logs_table"),
        (config({}), "table_names is required"),
        (config({"logs_table": "b.l"}), "logs_table must be the catalog, the schema"),
        (config({"logs_table": "a.b.l.x"}), "logs_table must be the catalog, the schema"),
        (config({"traces_table": "a.../../x"}), "traces_table must be the catalog"),
        (config({"traces_table": "a.b." + "x" * 129}), "up to 128"),
        (config(NAMES, "LOGS"), "'LOGS' is unknown; use TELEMETRY_FEATURE_INFERENCE_TABLE"),
        (config(NAMES, LOGS, LOGS), "TELEMETRY_FEATURE_LOGS 2 times"),
        (config({"logs_table": "a.b.l"}, METRICS), "metrics_table is required for"),
        (config(NAMES, LOGS), "metrics_table would get nothing"),
        (config(NAMES | {"metrics_table": "A.b.T"}), "a.b.t would get rows of 2 kinds"),
        (config(NAMES | {"traces_table": "a.b.l_PAYLOAD"}), "a.b.l_payload would get rows of 2"),
        (config(NAMES, sampling=1.5), "sampling_fraction is 1.5; use 0 to 1"),
        (config(NAMES, sampling=float("nan")), "sampling_fraction is nan"),
        (
            config({"logs_table": "a.b.l"}, LOGS, sampling=0),
            f"no payloads are recorded: name a logs_table and let {PAYLOADS}",
        ),
    ],
)
def test_what_would_do_nothing_or_harm_is_refused(given: TelemetryConfig, words: str) -> None:
    with pytest.raises(InvalidParameter, match="telemetry_config") as caught:
        build_telemetry(given, available=True)
    assert words in str(caught.value)


def test_without_tables_it_is_refused_with_who_can_change_that() -> None:
    with pytest.raises(InvalidParameter, match="operator can install"):
        build_telemetry(config(NAMES), available=False)


def test_features_are_those_of_the_proto() -> None:
    field = TelemetryConfig.DESCRIPTOR.fields_by_name["enabled_telemetry_features"]
    assert list(field.GetOptions().Extensions[rules_pb2.accepted]) == list(FEATURES)
