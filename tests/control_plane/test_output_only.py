"""What clients send back of an answer is ignored, where the protos say that it is output only."""

from typing import Any

import pytest
from google.api.field_behavior_pb2 import OUTPUT_ONLY, field_behavior
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from modelserving.v1.endpoint_pb2 import EndpointConfigInput

from modelplane.control_plane.output_only import clear_output_only
from tests.control_plane.configs import config_input, openai_entity
from tests.protos.bodies import REQUESTS, body_of


def is_output_only(field: FieldDescriptor) -> bool:
    return OUTPUT_ONLY in field.GetOptions().Extensions[field_behavior]


def without_output(message: Any, body: dict[str, Any]) -> dict[str, Any]:
    """Return a body that `body_of` made without the fields that are output only."""
    kept = {}
    for field in message.fields:
        if field.name not in body or is_output_only(field):
            continue
        value, kind = body[field.name], field.message_type
        if kind and kind.file.package == message.file.package and not kind.GetOptions().map_entry:
            value = (
                [without_output(kind, item) for item in value]
                if field.is_repeated
                else without_output(kind, value)
            )
        kept[field.name] = value
    return kept


@pytest.mark.parametrize("request_class", REQUESTS, ids=lambda cls: cls.DESCRIPTOR.name)
def test_all_that_is_output_only_goes_and_all_else_stays(request_class: type[Message]) -> None:
    body = body_of(request_class.DESCRIPTOR)
    request = json_format.ParseDict(body, request_class())
    clear_output_only(request)
    expected = without_output(request_class.DESCRIPTOR, body)
    assert request == json_format.ParseDict(expected, request_class())


def test_the_state_and_the_creator_of_a_served_entity_go() -> None:
    answered = {
        "state": {"deployment": "DEPLOYMENT_READY"},
        "creator": "mallory",
        "creation_timestamp": 1,
        "type": "FOUNDATION_MODEL",
    }
    given = openai_entity()
    for name in ("served_entities", "served_models"):
        sent: EndpointConfigInput = json_format.ParseDict(
            {name: [{**given, **answered}]}, EndpointConfigInput()
        )
        clear_output_only(sent)
        assert sent == json_format.ParseDict({name: [given]}, EndpointConfigInput())
    assert config_input(given).served_entities[0].creator == ""
