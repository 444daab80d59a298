"""From JSON values to a message, by the rules of proto JSON; no member is left out in silence.

Both spellings of a field's name are read, `served_entities` and `servedEntities`; numbers and
booleans also as text, as some clients send them. What is refused is named by its path.

Before: `call`, `json_document`. After: `json_scalars`, `json_open`.
"""

from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct, Value

from modelplane.control_plane.errors import InvalidParameter
from modelplane.control_plane.rest.json_document import Json, JsonObject
from modelplane.control_plane.rest.json_open import read_struct, read_value
from modelplane.control_plane.rest.json_scalars import read_scalar
from modelplane.control_plane.rest.refusals import join, twice, unknown, wrong_type

# Tells whether a member that no field has may be left out, by its name and the path of the object
# that it is in, which is empty at the top.
MayIgnore = Callable[[str, str], bool]


def _ignore_nothing(name: str, path: str) -> bool:
    del name, path
    return False


class JsonReader:
    """Reads the fields of messages from JSON objects."""

    def __init__(
        self, may_ignore: MayIgnore = _ignore_nothing, *, json_names: bool = False
    ) -> None:
        """Set the rules.

        Args:
            may_ignore: Tells which members without a field may be left out.
            json_names: Whether the names of this API are those of JSON, as `userName`, and mean
                the same in upper and lower case.
        """
        self._may_ignore = may_ignore
        self._json_names = json_names

    def name(self, field: FieldDescriptor) -> str:
        """Return the name that callers know a field by."""
        return field.json_name if self._json_names else field.name

    def read(
        self, value: Json, message: Message, path: str = "", bound: Collection[str] = ()
    ) -> None:
        """Set the fields of a message from a JSON object.

        Args:
            value: The object.
            message: Gets the fields.
            path: Path of the object; empty at the top.
            bound: Fields that the path of the URL holds; a member may repeat their value.

        Raises:
            MalformedRequest: A value has the wrong type.
            InvalidParameter: A name is not known or given twice, or a number is out of range.
        """
        if not isinstance(value, JsonObject):
            raise wrong_type(path, "an object", value)
        known = _spellings(message.DESCRIPTOR, fold=self._json_names)
        given: set[str] = set()
        for name, item in value.members:
            field = known.get(name.lower() if self._json_names else name)
            if field is None:
                if self._may_ignore(name, path):
                    continue
                raise unknown(name, path, set(map(self.name, known.values())))
            place = join(path, self.name(field))
            if field.name in given:
                raise twice(place)
            given.add(field.name)
            if item is None and not _is_message(field, Value):
                continue
            if field.name in bound:
                _check_same(message, field, item, place)
            else:
                _check_alone(message, field, place)
                self._set(message, field, item, place)

    def _set(self, message: Message, field: FieldDescriptor, item: Json, path: str) -> None:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            _set_map(message, field, item, path)
        elif field.is_repeated:
            self._extend(message, field, item, path)
        elif field.message_type is not None:
            part: Message = getattr(message, field.name)
            part.SetInParent()
            self._read_part(part, item, path)
        else:
            setattr(message, field.name, read_scalar(field, item, path))

    def _extend(self, message: Message, field: FieldDescriptor, item: Json, path: str) -> None:
        if not isinstance(item, list):
            raise wrong_type(path, "a list", item)
        values = getattr(message, field.name)
        for index, each in enumerate(item):
            place = f"{path}[{index}]"
            if field.message_type is None:
                values.append(read_scalar(field, each, place))
            else:
                self._read_part(values.add(), each, place)

    def _read_part(self, part: Message, item: Json, path: str) -> None:
        if isinstance(part, Value):
            read_value(item, part, path)
        elif isinstance(part, Struct):
            read_struct(item, part, path)
        else:
            self.read(item, part, path)


@cache
def _spellings(descriptor: Descriptor, *, fold: bool) -> Mapping[str, FieldDescriptor]:
    """Return the fields of a message by each way to write their names."""
    return {
        spelling.lower() if fold else spelling: field
        for field in descriptor.fields
        for spelling in (field.name, field.json_name)
    }


def _is_message(field: FieldDescriptor, cls: type[Message]) -> bool:
    kind = field.message_type
    return kind is not None and kind.full_name == cls.DESCRIPTOR.full_name


def _check_same(message: Message, field: FieldDescriptor, item: Json, path: str) -> None:
    given, bound = read_scalar(field, item, path), getattr(message, field.name)
    if given != bound:
        raise InvalidParameter(
            f"`{path}` is {str(bound)[:100]!r} in the URL and {str(given)[:100]!r} in the body; "
            "leave it out of the body."
        )


def _check_alone(message: Message, field: FieldDescriptor, path: str) -> None:
    oneof = field.containing_oneof
    if oneof is not None and (other := message.WhichOneof(oneof.name)):
        raise InvalidParameter(f"`{path}` and `{other}` exclude each other; keep one of them.")


def _set_map(message: Message, field: FieldDescriptor, item: Json, path: str) -> None:
    if not isinstance(item, JsonObject):
        raise wrong_type(path, "an object", item)
    entry: Any = field.message_type
    key, value = entry.fields_by_name["key"], entry.fields_by_name["value"]
    values = getattr(message, field.name)
    for name, each in item.members:
        place = join(path, name)
        if read_scalar(key, name, place) in values:
            raise twice(place)
        values[name] = read_scalar(value, each, place)
