"""From JSON values to fields whose content is open: `Value` and `Struct`. Used by `json_reader`."""

from collections.abc import Mapping

from google.protobuf.struct_pb2 import NullValue, Struct, Value

from modelplane.control_plane.errors import MalformedRequest
from modelplane.control_plane.rest.json_document import Json, JsonObject
from modelplane.control_plane.rest.json_scalars import read_number, read_text
from modelplane.control_plane.rest.refusals import join, twice, wrong_type

# Other fields are as deep as their messages are.
MAX_DEPTH = 64


def read_value(item: Json, value: Value, path: str, depth: int = MAX_DEPTH) -> None:
    """Set a `Value` from JSON of any form.

    Raises:
        MalformedRequest: It is nested too deeply, or holds what is no text.
        InvalidParameter: A name is given twice, or a number is out of range.
    """
    if depth == 0:
        raise MalformedRequest(f"{path[:100]}… is nested too deeply.")
    match item:
        case JsonObject():
            read_struct(item, value.struct_value, path, depth)
        case list():
            value.list_value.SetInParent()
            for index, each in enumerate(item):
                read_value(each, value.list_value.values.add(), f"{path}[{index}]", depth - 1)
        case None:
            value.null_value = NullValue.NULL_VALUE
        case bool():
            value.bool_value = item
        case str():
            value.string_value = read_text(item, path)
        case _:
            value.number_value = read_number(item, path)


def read_struct(item: Json, struct: Struct, path: str, depth: int = MAX_DEPTH) -> None:
    """Set a `Struct` from a JSON object.

    Raises:
        MalformedRequest: It is no object, or as for `read_value`.
        InvalidParameter: As for `read_value`.
    """
    if not isinstance(item, JsonObject):
        raise wrong_type(path, "an object", item)
    struct.SetInParent()
    fields: Mapping[str, Value] = struct.fields
    for name, each in item.members:
        place = join(path, name)
        if read_text(name, place) in fields:
            raise twice(place)
        read_value(each, fields[name], place, depth - 1)
