"""Refuses the fields of the mirrored API that nothing here acts on.

Which they are, and why, is the option `not_available` of the fields (`protos/…/rules.proto`). What
clients spell out without asking for anything is let pass.

Before: `interceptor`.
"""

from collections.abc import Iterable, Iterator, Mapping

from google.protobuf.message import Message
from modelserving.v1.rules_pb2 import not_available

from modelplane.control_plane.errors import InvalidParameter

# `NONE` is the value of an enumeration that switches something off.
_NOTHING = (False, 0, "", b"", "NONE")


def check_available(request: Message) -> None:
    """Check that a request asks for nothing that is not available.

    Raises:
        InvalidParameter: It does; the message names the first such field.
    """
    for path, reason in _find(request, ""):
        raise InvalidParameter(f"{reason}; leave out `{path}`.")


def _find(message: Message, prefix: str) -> Iterator[tuple[str, str]]:
    """Yield path and reason of each field that asks for what is not available."""
    for field, value in message.ListFields():
        path = f"{prefix}{field.name}"
        reason = field.GetOptions().Extensions[not_available]
        if reason:
            if _asks(value):
                yield path, reason
        elif isinstance(value, Message):
            yield from _find(value, f"{path}.")
        elif field.message_type and field.is_repeated and not isinstance(value, Mapping):
            for index, item in enumerate(value):
                yield from _find(item, f"{path}[{index}].")


def _asks(value: object) -> bool:
    """Tell whether a value asks for anything."""
    if isinstance(value, Message):
        fields = {field.name: part for field, part in value.ListFields()}
        return fields.get("enabled") is not False and any(map(_asks, fields.values()))
    if isinstance(value, Mapping):
        return any(map(_asks, value.values()))
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return any(map(_asks, value))
    return value not in _NOTHING
