"""What stays the same between two configurations of an endpoint.

Used by `lifecycle`.
"""

from modelserving.v1.endpoint_pb2 import EndpointConfig, ServedEntity

from modelplane.control_plane.store.endpoints.records import StoredEndpoint


def is_served(record: StoredEndpoint, config: EndpointConfig) -> bool:
    """Tell whether every entity of `config` is served now, as far as it may hold references."""
    if record.active is None:
        return False
    served = {entity.name: entity for entity in record.active.config.served_entities}
    return all(
        (same := served.get(entity.name)) is not None
        and _is_same_model(same, entity)
        and same.environment_vars == entity.environment_vars
        for entity in config.served_entities
    )


def carry_over(record: StoredEndpoint, config: EndpointConfig) -> None:
    """Let entities that an update leaves alone keep their creator and creation time."""
    if record.newest is None:
        return
    old = {entity.name: entity for entity in record.newest.config.served_entities}
    for entity in config.served_entities:
        same = old.get(entity.name)
        if same is not None and _is_same_model(same, entity):
            entity.creator = same.creator
            entity.creation_timestamp = same.creation_timestamp


def _is_same_model(one: ServedEntity, other: ServedEntity) -> bool:
    return (
        one.external_model == other.external_model
        and one.entity_name == other.entity_name
        and one.entity_version == other.entity_version
    )
