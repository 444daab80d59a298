"""Where an endpoint's payloads are recorded: compiled from its settings.

Part of the snapshot (`snapshot.py`); `payloads/` records what it says.
"""

from dataclasses import dataclass
from sys import intern

from modelserving.worker.v1.snapshot_pb2 import EndpointResource

from modelplane.adapters.shared.telemetry_tables import Kind, tables_of
from modelplane.data_plane.snapshots.telemetry_tables import place_of

SUFFIX = "_payload"
_MASKED = "masked"


@dataclass(frozen=True, slots=True)
class PayloadTable:
    """The table of an endpoint's payloads.

    Attributes:
        location: Catalog, schema and name, with slashes: its place below the root of all tables.
        sampling: Share of the calls that it gets, of those that do not fail.
        redacts: Whether it gets requests only as guardrails let them pass.
    """

    location: str
    sampling: float = 1.0
    redacts: bool = False


def compile_payload_table(resource: EndpointResource) -> PayloadTable | None:
    """Return the table that an endpoint asks for; None: none."""
    telemetry = resource.telemetry_config
    is_set = resource.HasField("telemetry_config")
    if is_set and (name := tables_of(telemetry).get(Kind.PAYLOADS)):
        sampling = telemetry.inference_table_config
        is_sampled = sampling.HasField("sampling_fraction")
        return PayloadTable(
            intern(place_of(name)), sampling.sampling_fraction if is_sampled else 1.0
        )
    gateway, legacy = resource.ai_gateway.inference_table_config, resource.active
    config = gateway if gateway.enabled else legacy.auto_capture_config
    if not config.enabled:
        return None
    table = (config.table_name_prefix or resource.name) + SUFFIX
    location = f"{config.catalog_name}/{config.schema_name}/{table}".lower()
    sampled = gateway.enabled and gateway.HasField("sampling_fraction")
    return PayloadTable(
        intern(location),
        gateway.sampling_fraction if sampled else 1.0,
        gateway.enabled and gateway.redact == _MASKED,
    )
