"""Bodies made from the protos: every field that a message has, with some value of its type."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from google.api import annotations_pb2
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from tests.e2e.permission_routes import public_methods

_NOT_MANAGEMENT = {"InferenceService", "ModelService", "OAuthService", "SignInService", "UiService"}
METHODS: list[MethodDescriptor] = [
    method for method in public_methods() if method.containing_service.name not in _NOT_MANAGEMENT
]
REQUESTS: list[type[Message]] = [GetMessageClass(method.input_type) for method in METHODS]

_SCALARS: Mapping[int, object] = {
    FieldDescriptor.TYPE_STRING: "text",
    FieldDescriptor.TYPE_BOOL: True,
    FieldDescriptor.TYPE_INT32: 7,
    FieldDescriptor.TYPE_INT64: 7,
    FieldDescriptor.TYPE_DOUBLE: 7.5,
    FieldDescriptor.TYPE_FLOAT: 7.5,
    FieldDescriptor.TYPE_BYTES: "aGk=",
}
_OPEN: Mapping[str, object] = {
    "google.protobuf.Value": {"any": [1, None]},
    "google.protobuf.Struct": {"any": [1, None]},
}


def body_of(message: Any, *, camel: bool = False, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return a JSON object with each field of a message; of a oneof, its first one.

    Args:
        message: Descriptor of the message.
        camel: Whether names are spelled in camel case.
        above: Messages that this one is a part of, which are not begun anew inside it.
    """
    above = (*above, message.full_name)
    body = {}
    for field in message.fields:
        oneof = field.containing_oneof
        first = oneof is None or oneof.fields[0].name == field.name
        if first and not (field.message_type and field.message_type.full_name in above):
            name = field.json_name if camel else field.name
            body[name] = value_of(field, camel=camel, above=above)
    return body


def value_of(field: FieldDescriptor, *, camel: bool = False, above: tuple[str, ...] = ()) -> object:
    """Return some value of a field, with every field of its own."""
    kind = field.message_type
    if kind is None:
        value = _SCALARS[field.type]
    elif kind.GetOptions().map_entry:
        return {"some name": value_of(kind.fields_by_name["value"], camel=camel)}
    else:
        value = _OPEN.get(kind.full_name) or body_of(kind, camel=camel, above=above)
    return [value, deepcopy(value)] if field.is_repeated else value


def rule_of(method: MethodDescriptor) -> tuple[str, str, str]:
    """Return HTTP method, path and body of an RPC."""
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    verb = rule.WhichOneof("pattern")
    return verb.upper(), getattr(rule, verb), rule.body


def objects_in(body: object, path: str = "") -> Iterator[tuple[dict[str, Any], str]]:
    """Yield each object in a body, with its path."""
    if isinstance(body, dict):
        yield body, path
        for name, value in body.items():
            yield from objects_in(value, f"{path}.{name}" if path else name)
    elif isinstance(body, list):
        for index, value in enumerate(body):
            yield from objects_in(value, f"{path}[{index}]")
