"""From what a caller sends to a complete configuration: one spelling, every default filled in.

Before: `lifecycle`. After: `validation`, which judges the result.
"""

import re
from collections.abc import Sequence

from google.api.field_behavior_pb2 import OUTPUT_ONLY, field_behavior
from google.protobuf.message import Message
from modelserving.v1.endpoint_pb2 import (
    AutoCaptureConfig,
    EndpointConfig,
    EndpointConfigInput,
    Route,
    ServedEntity,
    TrafficConfig,
)

from modelplane.adapters.registries.base import ALIAS
from modelplane.control_plane.errors import InvalidParameter
from modelplane.control_plane.hosting.entity_rules import fill_defaults

MAX_ENTITY_NAME = 128

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")


def build_config(given: EndpointConfigInput) -> EndpointConfig:
    """Return the configuration that `given` means.

    Raises:
        InvalidParameter: It cannot be understood; whether it makes sense is not checked here.
    """
    entities = [_build_entity(entity) for entity in _given_entities(given)]
    return EndpointConfig(
        served_entities=entities,
        traffic_config=build_traffic(given.traffic_config, [entity.name for entity in entities]),
        auto_capture_config=_table(given),
    )


def _table(given: EndpointConfigInput) -> AutoCaptureConfig | None:
    return given.auto_capture_config if given.HasField("auto_capture_config") else None


def drop_twin(given: EndpointConfigInput, shown: EndpointConfig | None) -> EndpointConfigInput:
    """Return `given` with one of the twins, where the other one is as it was shown.

    Answers spell the served entities in two ways, and clients send back what they got with a
    change in one of them. Where both are changed, both stay.

    Args:
        given: What the caller sends.
        shown: The configuration that answers showed so far.
    """
    if not (given.served_entities and given.served_models):
        return given
    entities, models = list(given.served_entities), _of_models(given)
    old = [_as_sent(entity) for entity in shown.served_entities] if shown else []
    kept = EndpointConfigInput()
    kept.CopyFrom(given)
    if models in (entities, old):
        kept.ClearField("served_models")
    elif entities == old:
        kept.ClearField("served_entities")
    return kept


def _of_models(given: EndpointConfigInput) -> list[ServedEntity]:
    # The two messages differ in the names of their fields, not in the numbers.
    return [ServedEntity.FromString(model.SerializeToString()) for model in given.served_models]


def _as_sent(entity: ServedEntity) -> ServedEntity:
    """Return a served entity as a caller sends it: without what only answers hold."""
    sent = ServedEntity()
    sent.CopyFrom(entity)
    message: Message = sent
    for field, _ in message.ListFields():
        if OUTPUT_ONLY in field.GetOptions().Extensions[field_behavior]:
            message.ClearField(field.name)
    return sent


def build_traffic(given: TrafficConfig, names: Sequence[str]) -> TrafficConfig:
    """Return the traffic split over the served entities `names`, with routes spelled in both ways.

    Without a split, a single entity gets everything.

    Raises:
        InvalidParameter: A route has no name or two.
    """
    if not given.routes and len(names) == 1:
        return TrafficConfig(routes=[_spelled_twice(names[0], 100)])
    return TrafficConfig(routes=[_build_route(route) for route in given.routes])


def _given_entities(given: EndpointConfigInput) -> Sequence[ServedEntity]:
    if given.served_entities and given.served_models:
        raise InvalidParameter(
            "Both served_entities and served_models are given, and they differ; keep only "
            "served_entities."
        )
    if given.served_models:
        return _of_models(given)
    if not given.served_entities:
        raise InvalidParameter(
            "The configuration has no served_entities; name at least one model to serve. (To "
            "create an endpoint without a model, leave out config altogether.)"
        )
    return given.served_entities


def _build_entity(given: ServedEntity) -> ServedEntity:
    entity = ServedEntity()
    entity.CopyFrom(given)
    if entity.HasField("entity_version"):
        version = _version_text(given)
        entity.ClearField("entity_version")
        if version:
            entity.entity_version.string_value = version
    entity.name = given.name or _default_name(entity)
    if not entity.HasField("external_model"):
        fill_defaults(entity)
    return entity


def _version_text(entity: ServedEntity) -> str:
    value = entity.entity_version
    match value.WhichOneof("kind"):
        case "string_value":
            return value.string_value
        case "number_value" if value.number_value.is_integer():
            return str(int(value.number_value))
        case "null_value" | None:
            return ""
    raise InvalidParameter(
        f"Served entity '{entity.name or entity.entity_name}': entity_version must be a version "
        'number, for example "1".'
    )


def _default_name(entity: ServedEntity) -> str:
    if entity.HasField("external_model"):
        name = entity.external_model.name
    else:
        version = entity.entity_version.string_value.removeprefix(ALIAS)
        name = "-".join(filter(None, (entity.entity_name.rpartition(".")[2], version)))
    return _NOT_IN_NAMES.sub("-", name)[:MAX_ENTITY_NAME]


def _build_route(given: Route) -> Route:
    names = {name for name in (given.served_entity_name, given.served_model_name) if name}
    if not names:
        raise InvalidParameter(
            "A route in traffic_config names no served entity; set its served_entity_name."
        )
    if len(names) == 2:  # noqa: PLR2004 - the two spellings
        raise InvalidParameter(
            f"A route in traffic_config names two served entities, '{given.served_entity_name}' "
            f"and '{given.served_model_name}'; keep only served_entity_name."
        )
    return _spelled_twice(names.pop(), given.traffic_percentage)


def _spelled_twice(name: str, share: int) -> Route:
    return Route(served_model_name=name, served_entity_name=name, traffic_percentage=share)
