"""From typed messages to JSON objects of the REST API: pure, by the rules of `fields.py`.

Used by `rpcs.py` for requests; `reader.py` is the way back.
"""

from collections.abc import Callable, Mapping
from functools import cache
from math import isfinite, isnan

import orjson
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct, Value

from modelplane.adapters.providers.types import JsonObject
from modelplane.data_plane.errors import MalformedRequest
from modelplane.data_plane.hosts.typed.fields import (
    EXTRA,
    ITEMS,
    JSON_TEXT,
    Item,
    is_bare,
    json_key,
    map_value,
)

_LARGEST_EXACT = 2**53


def write(message: Message) -> JsonObject:
    """Return the JSON object that a message stands for.

    Raises:
        MalformedRequest: A number in it is none.
    """
    writers = _writers_of(message.DESCRIPTOR)
    value: JsonObject = {}
    extra: JsonObject = {}
    for field, item in message.ListFields():
        key, convert = writers[field.number]
        if key == EXTRA:
            extra = convert(item)
        else:
            value[key] = convert(item)
    return extra | value if extra else value


@cache
def _writers_of(descriptor: Descriptor) -> Mapping[int, tuple[str, Callable[[Item], Item]]]:
    return {field.number: (json_key(field), _writer(field)) for field in descriptor.fields}


def _writer(field: FieldDescriptor) -> Callable[[Item], Item]:
    if value_field := map_value(field):
        convert = _item_writer(value_field)
        return lambda entries: {key: convert(item) for key, item in entries.items()}
    convert = _item_writer(field)
    if field.is_repeated:
        return lambda items: [convert(item) for item in items]
    return convert


def _item_writer(field: FieldDescriptor) -> Callable[[Item], Item]:
    if field.message_type is not None:
        return _message_writer(field.message_type)
    if field.type == FieldDescriptor.TYPE_DOUBLE and field.is_repeated:
        # As it is read: null has no other form in a list of numbers.
        return lambda number: None if isnan(number) else _write_number(number)
    if field.type in (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT):
        return _write_number
    if field.type == FieldDescriptor.TYPE_BYTES:
        return list
    if field.type == FieldDescriptor.TYPE_STRING and field.name.endswith(JSON_TEXT):
        return _parse_text
    return _unchanged


def _message_writer(descriptor: Descriptor) -> Callable[[Item], Item]:
    if descriptor.full_name == Struct.DESCRIPTOR.full_name:
        return _write_struct
    if not is_bare(descriptor):
        return write
    convert = _writer(descriptor.fields_by_name[ITEMS])
    return lambda message: convert(message.items)


def _unchanged(item: Item) -> Item:
    return item


def _write_number(number: float) -> object:
    if not isfinite(number):
        raise MalformedRequest(f"The request holds {number}, which is no number in JSON.")
    # Doubles carry JSON's integers, too, and not every provider takes 1.0 for 1.
    return int(number) if number.is_integer() and abs(number) <= _LARGEST_EXACT else number


def _parse_text(text: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        # Left to the provider to refuse, as any other value of a wrong type.
        return text


def _write_struct(struct: Struct) -> JsonObject:
    # A map is in no order, or in another one each time, which models and their caches would notice.
    return {key: _write_value(value) for key, value in sorted(struct.fields.items())}


def _write_value(value: Value) -> object:
    match value.WhichOneof("kind"):
        case "number_value":
            return _write_number(value.number_value)
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return _write_struct(value.struct_value)
        case "list_value":
            return [_write_value(item) for item in value.list_value.values]
        case _:
            return None
