"""How long the texts of a configuration may be: declared beside each of them.

Used by `validation`. Every list shows names of models, and every worker holds all of it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from modelserving.v1.rules_pb2 import max_length

from modelplane.control_plane.errors import InvalidParameter

_DEFAULT = 512


def check_lengths(message: Message, path: str = "") -> None:
    """Check every text in a message.

    Raises:
        InvalidParameter: One is too long; the message says which, and how long it may be.
    """
    for field, value in message.ListFields():
        name = f"{path}{field.name}"
        for item in _items(field, value):
            if isinstance(item, Message):
                check_lengths(item, f"{name}.")
            elif isinstance(item, str):
                _check(name, item, field.GetOptions().Extensions[max_length] or _DEFAULT)


def _items(field: FieldDescriptor, value: Any) -> Iterable[object]:  # noqa: ANN401 - of any field
    if isinstance(value, Mapping):
        return [*value.keys(), *value.values()]
    return value if field.is_repeated else [value]


def _check(name: str, text: str, most: int) -> None:
    if len(text) > most:
        raise InvalidParameter(
            f"{name} has {len(text)} characters; at most {most} are allowed. Shorten it."
        )
