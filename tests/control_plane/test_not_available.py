"""What nothing here acts on is refused where it asks for something, and else let pass."""

from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from modelserving.v1 import endpoint_service_pb2 as pb
from modelserving.v1.rules_pb2 import not_available

from modelplane.control_plane.errors import InvalidParameter
from modelplane.control_plane.not_available import check_available
from tests.protos.bodies import REQUESTS, value_of

Place = tuple[FieldDescriptor, ...]


def places(message: Any, above: Place = ()) -> Iterator[Place]:
    """Yield the fields that lead to each field that is not available."""
    for field in message.fields:
        if field.GetOptions().Extensions[not_available]:
            yield (*above, field)
        elif field.message_type and field.message_type.file.package == "modelserving.v1":
            yield from places(field.message_type, (*above, field))


PLACES = [(cls, place) for cls in REQUESTS for place in places(cls.DESCRIPTOR)]


def nested(place: Place, value: object) -> dict[str, Any]:
    """Return a body with a value at a place."""
    # The value of a list is one.
    body = {place[-1].name: value}
    for field in reversed(place[:-1]):
        body = {field.name: [body] if field.is_repeated else body}
    return body


def path_of(place: Place) -> str:
    above = (field.name + ("[0]" if field.is_repeated else "") for field in place[:-1])
    return ".".join((*above, place[-1].name))


def nothing(value: Any) -> Any:
    """Return a value of the same form that asks for nothing."""
    match value:
        case dict():
            return {name: nothing(each) for name, each in value.items()}
        case list():
            return []
    return type(value)()


@pytest.mark.parametrize(
    ("request_class", "place"),
    PLACES,
    ids=[f"{cls.DESCRIPTOR.name}.{path_of(place)}" for cls, place in PLACES],
)
def test_each_is_refused_only_where_it_asks_for_something(
    request_class: type[Message], place: Place
) -> None:
    value = value_of(place[-1])
    asking = json_format.ParseDict(nested(place, value), request_class())
    with pytest.raises(InvalidParameter) as caught:
        check_available(asking)
    reason = place[-1].GetOptions().Extensions[not_available]
    assert str(caught.value) == f"{reason}; leave out `{path_of(place)}`."
    check_available(json_format.ParseDict(nested(place, nothing(value)), request_class()))


def test_there_are_such_fields() -> None:
    paths = {path_of(place) for _, place in PLACES}
    assert {
        "route_optimized",
        "email_notifications",
        "config.served_models[0].external_model.palm_config",
    } <= paths


def test_what_lies_beside_is_not_looked_at() -> None:
    entity = {"environment_vars": {"a": "b"}, "entity_version": 3, "external_model": {"name": "x"}}
    body = {"config": {"served_entities": [entity]}, "tags": [{"key": "a"}]}
    check_available(json_format.ParseDict(body, pb.CreateServingEndpointRequest()))
