"""From what is stored to the endpoint object that the API prints.

Before: `servicer`. After: `entity_states`, `store.endpoints.records` (what is stored).
"""

from collections.abc import Mapping

from modelserving.v1.endpoint_pb2 import (
    DeploymentState,
    EndpointConfig,
    EndpointState,
    ServedEntity,
    ServedModel,
    ServingEndpoint,
)
from modelserving.v1.endpoint_service_pb2 import (
    ModelOptimizationInfo,
    ServingEndpointConfigVersion,
)

from modelplane.control_plane.access import level_of
from modelplane.control_plane.endpoints import payload_tables
from modelplane.control_plane.endpoints.entity_states import (
    active_states,
    as_seen,
    past_states,
    pending_states,
)
from modelplane.control_plane.endpoints.foundation_views import build_foundation
from modelplane.control_plane.endpoints.settings import show_settings
from modelplane.control_plane.endpoints.tasks import task_of
from modelplane.control_plane.endpoints.validation import is_external
from modelplane.control_plane.hosting.pinning import Described
from modelplane.control_plane.hosting.throughput import family_of
from modelplane.control_plane.principal import Principal, PrincipalKind
from modelplane.control_plane.store.endpoints.records import StoredEndpoint, StoredVersion
from modelplane.control_plane.store.states import Phase

EXTERNAL_MODEL = "EXTERNAL_MODEL"
CUSTOM_MODEL = "CUSTOM_MODEL"
# Settings that are longer are no part of a summary.
_LONG_BYTES = 4 * 1024

_KINDS = {
    PrincipalKind.USER: "User",
    PrincipalKind.SERVICE_PRINCIPAL: "ServicePrincipal",
}


def build_endpoint(record: StoredEndpoint, principal: Principal) -> ServingEndpoint:
    """Return the whole endpoint as `principal` sees it."""
    if record.is_foundation:
        return build_foundation(record, principal, with_states=True)
    endpoint = _build_base(record, principal)
    level = level_of(principal, record.grants)
    if record.active:
        states = as_seen(active_states(record, record.active), level)
        endpoint.config.CopyFrom(_build_config(record.active, states))
    if record.pending:
        states = as_seen(pending_states(record, record.pending), level)
        pending = _build_config(record.pending, states)
        pending.start_time = record.pending.created_ms
        endpoint.pending_config.CopyFrom(pending)
    return endpoint


def build_summary(record: StoredEndpoint, principal: Principal) -> ServingEndpoint:
    """Return the endpoint as a list shows it: what it serves, without traffic and states.

    Nor does it have AI Gateway settings that are long, so that a list of many fits.
    """
    if record.is_foundation:
        endpoint = build_foundation(record, principal, with_states=False)
    else:
        endpoint = _build_base(record, principal)
        if record.active:
            entities = [_summarise(entity) for entity in record.active.config.served_entities]
            config = EndpointConfig(
                served_entities=entities, config_version=record.active.config.config_version
            )
            _add_twins(config)
            endpoint.config.CopyFrom(config)
    if endpoint.ai_gateway.ByteSize() > _LONG_BYTES:
        endpoint.ClearField("ai_gateway")
    return endpoint


def build_version(version: StoredVersion) -> ServingEndpointConfigVersion:
    """Return one version with its history."""
    return ServingEndpointConfigVersion(
        config_version=version.version,
        config=_build_config(version, past_states(version)),
        outcome=version.outcome,
        outcome_message=version.outcome_message,
        creator=version.creator,
        creation_timestamp=version.created_ms,
    )


def build_optimization_info(described: Described) -> ModelOptimizationInfo:
    """Return in which steps the throughput of a model can be provisioned."""
    if described.reason:
        return ModelOptimizationInfo(optimizable=False, reason=described.reason)
    chunk = described.chunk
    return ModelOptimizationInfo(
        optimizable=True,
        model_type=family_of(described.model),
        throughput_chunk_size=chunk.tokens,
        estimated=chunk.estimated or None,
    )


def _build_base(record: StoredEndpoint, principal: Principal) -> ServingEndpoint:
    newest = record.newest
    external = newest is not None and is_external(newest.config)
    endpoint = ServingEndpoint(
        name=record.name,
        creator=record.creator,
        creation_timestamp=record.created_ms,
        last_updated_timestamp=record.updated_ms,
        state=_build_state(record),
        id=record.id,
        permission_level=level_of(principal, record.grants).name,
        task=task_of(newest) if newest else None,
        endpoint_type=EXTERNAL_MODEL if external else None,
        creator_display_name=record.creator_display_name,
        creator_kind=_KINDS[record.creator_kind],
        route_optimized=False,
    )
    show_settings(record.settings, endpoint)
    return endpoint


def _build_state(record: StoredEndpoint) -> EndpointState:
    updating = record.phase is not Phase.SETTLED
    # An update that failed is what its author looks for first.
    message = "" if updating else record.last_update_message or record.refusal
    return EndpointState(
        ready="READY" if record.ready else "NOT_READY",
        config_update="IN_PROGRESS" if updating else record.last_update,
        suspend="NOT_SUSPENDED",
        system_update_failure=False,
        config_update_message=message or None,
    )


def _build_config(version: StoredVersion, states: Mapping[str, DeploymentState]) -> EndpointConfig:
    config = EndpointConfig()
    config.CopyFrom(version.config)
    for entity in config.served_entities:
        # As in the mirrored API, it is not told.
        entity.ClearField("burst_scaling_enabled")
        if entity.name in states:
            entity.state.CopyFrom(states[entity.name])
    if config.HasField("auto_capture_config"):
        payload_tables.show(config.auto_capture_config)
    _add_twins(config)
    return config


def _add_twins(config: EndpointConfig) -> None:
    # The two messages differ in the names of their fields, not in the numbers.
    config.served_models.extend(
        ServedModel.FromString(entity.SerializeToString()) for entity in config.served_entities
    )


def _summarise(entity: ServedEntity) -> ServedEntity:
    summary = ServedEntity(name=entity.name, type=entity.type)
    if entity.HasField("external_model"):
        model = entity.external_model
        summary.external_model.name = model.name
        summary.external_model.provider = model.provider
        summary.external_model.task = model.task
    else:
        summary.entity_name = entity.entity_name
        summary.entity_version.CopyFrom(entity.entity_version)
    return summary
