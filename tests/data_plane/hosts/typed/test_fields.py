import json

import orjson
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from modelserving.v1 import chat_pb2, completion_pb2, embedding_pb2, usage_pb2

from modelplane.data_plane.hosts.typed.fields import EXTRA, JSON_TEXT, is_bare, json_key, map_value
from modelplane.data_plane.hosts.typed.reader import read
from modelplane.data_plane.hosts.typed.writer import write
from tests.data_plane.typed import REQUESTS
from tests.protos.bodies import value_of

MESSAGES = [
    descriptor
    for module in (chat_pb2, completion_pb2, embedding_pb2, usage_pb2)
    for descriptor in module.DESCRIPTOR.message_types_by_name.values()
]


def test_members_of_a_oneof_share_its_name() -> None:
    fields = chat_pb2.ChatMessage.DESCRIPTOR.fields_by_name
    assert [json_key(fields[name]) for name in ("text", "parts", "role")] == [
        "content",
        "content",
        "role",
    ]


def test_maps_and_bare_messages_are_told() -> None:
    request = chat_pb2.ChatRequest.DESCRIPTOR.fields_by_name
    value = map_value(request["logit_bias"])
    assert value is not None
    assert value.type == FieldDescriptor.TYPE_DOUBLE
    assert map_value(request["messages"]) is None
    assert map_value(request["model"]) is None
    assert is_bare(chat_pb2.ContentParts.DESCRIPTOR)
    assert not is_bare(chat_pb2.ContentPart.DESCRIPTOR)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.name)
def test_messages_keep_to_the_rules(message: Descriptor) -> None:
    keys: dict[str, str] = {}
    for field in message.fields:
        oneof = field.containing_oneof
        shared = oneof is not None and not oneof.name.startswith("_")
        assert shared or json_key(field) not in keys, "two fields would share a JSON field"
        keys[json_key(field)] = field.name
        if field.name.endswith(JSON_TEXT):
            assert field.type == FieldDescriptor.TYPE_STRING
        # A scalar that is always there could not be absent.
        scalar = field.message_type is None and not field.is_repeated
        named_first = field.name in {"model", "served_model_name"}
        assert not scalar or field.has_presence or named_first, field.name
    requests = {cls.DESCRIPTOR.full_name for cls in REQUESTS.values()}
    if message.full_name in requests:
        assert "extra_params" in message.fields_by_name
    elif not is_bare(message):
        assert EXTRA in message.fields_by_name


def one_field(field: FieldDescriptor) -> Message:
    """Return a message with nothing but one field, whose values are neither zero nor empty."""
    assert field.containing_type is not None
    message = GetMessageClass(field.containing_type)()
    return json_format.ParseDict({field.name: value_of(field)}, message)


# The only field of a bare message has no name in JSON; it is in the fields that hold the message.
FIELDS = [field for message in MESSAGES if not is_bare(message) for field in message.fields]


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.full_name)
def test_every_field_goes_out_and_comes_in_as_json(field: FieldDescriptor) -> None:
    """A request's fields reach the provider, an answer's fields the caller: this is all of both."""
    message = one_field(field)
    body = write(message)
    if field.name == EXTRA:
        assert body == value_of(field)
    else:
        assert list(body) == [json_key(field)]
        assert body[json_key(field)]
    answer = read(type(message), json.loads(orjson.dumps(body)))
    assert [found.name for found, _ in answer.ListFields()] == [field.name]
