"""From JSON objects of the REST API to typed messages: pure, by the rules of `fields.py`.

What an object holds beyond its message, by name or by type, goes into `extra_fields`, so that
nothing of an answer is lost. Used by `rpcs.py`; `writer.py` is the way back.
"""

import base64
import struct
from collections.abc import Callable, Mapping
from functools import cache
from math import nan

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.struct_pb2 import Struct

from modelplane.adapters.providers.types import JsonObject
from modelplane.data_plane.hosts.grpc.rpc import encode_field
from modelplane.data_plane.hosts.typed.fields import (
    EXTRA,
    ITEMS,
    Item,
    is_bare,
    json_key,
    map_value,
)

_MISMATCHES = (TypeError, ValueError, OverflowError, struct.error)
_FLOAT_BYTES = 4


def read(message_class: type[Message], value: JsonObject) -> Message:
    """Return the message that stands for a JSON object; null is an absent field."""
    return _reader_of(message_class.DESCRIPTOR).read(value)


class _ObjectReader:
    """Reads JSON objects as messages of one type."""

    def __init__(self, descriptor: Descriptor) -> None:
        self._class = GetMessageClass(descriptor)
        self._keeps_extra = EXTRA in descriptor.fields_by_name
        self._readers: dict[str, list[tuple[str, Callable[[Item], Item]]]] = {}
        self._floats: dict[str, tuple[int, Callable[[Item], bytes]]] = {}
        for field in descriptor.fields:
            if field.type == FieldDescriptor.TYPE_FLOAT:
                self._floats[field.name] = (field.number, _pack_floats)
            elif field.name != EXTRA:
                readers = self._readers.setdefault(json_key(field), [])
                readers.append((field.name, _reader(field)))

    def read(self, value: Item) -> Message:
        """Return the message that stands for a JSON object.

        Raises:
            TypeError: `value` is no object, or holds what the message has no room for.
        """
        if not isinstance(value, dict):
            raise TypeError
        fields: dict[str, Item] = {}
        extra: JsonObject = {}
        floats = b""
        for key, item in value.items():
            if item is None or self._place(fields, key, item):
                continue
            if packed := self._pack(key, item):
                floats += packed
            else:
                extra[key] = item
        if extra:
            if not self._keeps_extra:
                raise TypeError
            fields[EXTRA] = extra
        message = self._class(**fields)
        if floats:
            message.MergeFromString(floats)
        return message

    def _place(self, fields: dict[str, Item], key: str, item: Item) -> bool:
        for name, convert in self._readers.get(key, ()):
            try:
                fields[name] = convert(item)
            except _MISMATCHES:
                continue
            return True
        return False

    def _pack(self, key: str, item: Item) -> bytes:
        """Return a list of floats as it is encoded, which takes a third of the time of setting it.

        Empty: `key` names no such list, or `item` is none.
        """
        number, convert = self._floats.get(key, (0, _pack_floats))
        try:
            return encode_field(number, convert(item)) if number else b""
        except _MISMATCHES:
            return b""


@cache
def _reader_of(descriptor: Descriptor) -> _ObjectReader:
    return _ObjectReader(descriptor)


def _reader(field: FieldDescriptor) -> Callable[[Item], Item]:
    if value_field := map_value(field):
        return _map_reader(_item_reader(value_field))
    convert = _item_reader(field)
    if not field.is_repeated:
        return convert

    def read_list(value: Item) -> list[Item]:
        if not isinstance(value, list):
            raise TypeError
        return [convert(item) for item in value]

    return read_list


def _map_reader(convert: Callable[[Item], Item]) -> Callable[[Item], Item]:
    def read_map(value: Item) -> dict[str, Item]:
        if not isinstance(value, dict):
            raise TypeError
        return {key: convert(item) for key, item in value.items()}

    return read_map


def _item_reader(field: FieldDescriptor) -> Callable[[Item], Item]:
    descriptor = field.message_type
    if descriptor is None:
        if field.is_repeated and field.type == FieldDescriptor.TYPE_DOUBLE:
            return lambda item: nan if item is None else _read_double(item)
        return _SCALARS[field.type]
    if descriptor.full_name == Struct.DESCRIPTOR.full_name:
        return _read_struct
    if is_bare(descriptor):
        return _bare_reader(descriptor)
    # A message may hold itself, so its reader is found when it is needed.
    return lambda item: _reader_of(descriptor).read(item)


def _bare_reader(descriptor: Descriptor) -> Callable[[Item], Item]:
    message_class = GetMessageClass(descriptor)
    convert = _reader(descriptor.fields_by_name[ITEMS])
    return lambda item: message_class(items={} if item is None else convert(item))


def _read_struct(item: Item) -> Struct:
    if not isinstance(item, dict):
        raise TypeError
    value = Struct()
    value.update(item)
    return value


def _read_string(item: Item) -> str:
    if not isinstance(item, str):
        raise TypeError
    return item


def _read_bool(item: Item) -> bool:
    if not isinstance(item, bool):
        raise TypeError
    return item


def _read_double(item: Item) -> float:
    if isinstance(item, bool) or not isinstance(item, int | float):
        raise TypeError
    return float(item)


def _integer_reader(bits: int) -> Callable[[Item], int]:
    limit = 1 << (bits - 1)

    def read_integer(item: Item) -> int:
        if isinstance(item, float) and item.is_integer():
            item = int(item)
        if isinstance(item, bool) or not isinstance(item, int):
            raise TypeError
        if not -limit <= item < limit:
            raise OverflowError
        return item

    return read_integer


def _pack_floats(item: Item) -> bytes:
    """Return floats in little-endian order, as they are on the wire and in base64 alike."""
    if isinstance(item, list):
        return struct.pack(f"<{len(item)}f", *item)
    packed = base64.b64decode(_read_string(item), validate=True)
    if len(packed) % _FLOAT_BYTES:
        raise ValueError
    return packed


_SCALARS: Mapping[int, Callable[[Item], Item]] = {
    FieldDescriptor.TYPE_STRING: _read_string,
    FieldDescriptor.TYPE_BOOL: _read_bool,
    FieldDescriptor.TYPE_DOUBLE: _read_double,
    FieldDescriptor.TYPE_INT32: _integer_reader(32),
    FieldDescriptor.TYPE_INT64: _integer_reader(64),
    FieldDescriptor.TYPE_BYTES: bytes,
}
