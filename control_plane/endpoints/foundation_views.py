"""What the API prints of the endpoints of foundation models, as the mirrored service does.

They have neither an identifier nor a creator, and no configuration of their users. Before: `views`.
After: `entity_states`, `store.endpoints.records` (what is stored).
"""

from modelserving.v1.endpoint_pb2 import (
    EndpointCapabilities,
    EndpointConfig,
    EndpointState,
    ServedEntity,
    ServingEndpoint,
)

from modelplane.control_plane.access import level_of
from modelplane.control_plane.endpoints.entity_states import active_states, as_seen, pending_states
from modelplane.control_plane.endpoints.tasks import task_of
from modelplane.control_plane.principal import Principal
from modelplane.control_plane.store.endpoints.records import StoredEndpoint
from modelplane.control_plane.store.states import LastUpdate

FOUNDATION_MODEL = "FOUNDATION_MODEL"
FOUNDATION_MODEL_API = "FOUNDATION_MODEL_API"


def build_foundation(
    record: StoredEndpoint, principal: Principal, *, with_states: bool
) -> ServingEndpoint:
    """Return an endpoint of the catalogue as `principal` sees it.

    Args:
        record: The endpoint.
        principal: Who asks.
        with_states: Whether the states of its entities are shown, too.
    """
    level = level_of(principal, record.grants)
    endpoint = ServingEndpoint(
        name=record.name,
        creation_timestamp=record.created_ms,
        last_updated_timestamp=record.updated_ms,
        # What is rolled out is not of its users, who are not told.
        state=EndpointState(
            ready="READY" if record.ready else "NOT_READY",
            config_update=LastUpdate.NOT_UPDATING,
        ),
        permission_level=level.name,
        endpoint_type=FOUNDATION_MODEL_API,
    )
    if newest := record.newest:
        endpoint.config.CopyFrom(EndpointConfig(served_entities=_entities(newest.config)))
        endpoint.task = task_of(newest) or ""
        endpoint.capabilities.CopyFrom(
            EndpointCapabilities(
                function_calling=any(one.description.function_calling for one in newest.hosted)
            )
        )
    if with_states:
        states = active_states if record.active else pending_states
        shown = as_seen(states(record, newest), level) if newest else {}
        for entity in endpoint.config.served_entities:
            if entity.name in shown:
                entity.state.CopyFrom(shown[entity.name])
    if record.settings.HasField("ai_gateway"):
        endpoint.ai_gateway.CopyFrom(record.settings.ai_gateway)
    return endpoint


def _entities(config: EndpointConfig) -> list[ServedEntity]:
    return [
        ServedEntity(
            name=entity.name,
            entity_name=entity.entity_name,
            type=FOUNDATION_MODEL,
            foundation_model=entity.foundation_model,
        )
        for entity in config.served_entities
    ]
