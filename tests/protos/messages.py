"""The public messages, and which of them requests and answers hold: read from the protos."""

from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from modelserving.v1 import chat_pb2, completion_pb2, embedding_pb2, usage_pb2
from modelserving.v1.rules_pb2 import not_available

from tests.e2e.permission_routes import public_methods
from tests.protos.bodies import METHODS, rule_of

_PACKAGE = "modelserving.v1."
_TYPED_FILES = {
    module.DESCRIPTOR.name for module in (chat_pb2, completion_pb2, embedding_pb2, usage_pb2)
}
Messages = Mapping[str, Any]


def name_of(field: FieldDescriptor) -> str:
    """Return the name of a field as the tables have it: `Message.field`."""
    return field.full_name.removeprefix(_PACKAGE)


def is_available(field: FieldDescriptor) -> bool:
    """Tell whether a field is not one of those that are refused as not available."""
    return not field.GetOptions().Extensions[not_available]


def is_typed(field: FieldDescriptor) -> bool:
    """Tell whether a field is of the typed queries and their answers."""
    message: Any = field.containing_type
    return message.file.name in _TYPED_FILES


def requests() -> Messages:
    """Return the messages of requests by name; what is refused as not available leads to none."""
    return _reached(method.input_type for method in public_methods())


def answers() -> Messages:
    """Return the messages of answers by name."""
    return _reached(method.output_type for method in public_methods())


def all_messages() -> Messages:
    """Return all public messages by name."""
    return _reached(
        (kind for method in public_methods() for kind in (method.input_type, method.output_type)),
        everything=True,
    )


def reads() -> list[MethodDescriptor]:
    """Return the RPCs of management that read: their parameters select what they answer."""
    return [method for method in METHODS if rule_of(method)[0] == "GET"]


def _reached(roots: Iterator[Any], *, everything: bool = False) -> Messages:
    found: dict[str, Any] = {}
    waiting = list(roots)
    while waiting:
        message = waiting.pop()
        ours = message.full_name.startswith(_PACKAGE) and not message.GetOptions().map_entry
        if not ours or message.full_name in found:
            continue
        found[message.full_name] = message
        waiting += [
            field.message_type
            for field in message.fields
            if field.message_type and (everything or is_available(field))
        ]
    return {name.removeprefix(_PACKAGE): message for name, message in found.items()}
