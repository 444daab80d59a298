"""What a typed message's fields are called in the REST API's JSON: pure, from its descriptor.

`protos/modelserving/v1/chat.proto` states the rules; `writer.py` and `reader.py` convert by them.
"""

from typing import Any, TypeAlias

from google.protobuf.descriptor import Descriptor, FieldDescriptor

# What a generated message takes and gives by the name of a field has no narrower type.
Item: TypeAlias = Any

# The field that holds what a JSON object has beyond its message.
EXTRA = "extra_fields"
# The only field of a message that is, in JSON, that list or map.
ITEMS = "items"
# Ends the name of a `oneof`: a field of protobuf's JSON form cannot be called like one.
_FORM = "_form"
# Ends the name of a string that holds JSON text.
JSON_TEXT = "_json"


def json_key(field: FieldDescriptor) -> str:
    """Return the name of a field in JSON: the members of a `oneof` share the one that it names."""
    oneof = field.containing_oneof
    # The underscore begins those that protoc makes of `optional` fields.
    if oneof is None or oneof.name.startswith("_"):
        return str(field.name)
    return str(oneof.name).removesuffix(_FORM)


def map_value(field: FieldDescriptor) -> FieldDescriptor | None:
    """Return the field of a map's values; None where `field` is no map."""
    entry = field.message_type
    if entry is None or not entry.GetOptions().map_entry:
        return None
    return entry.fields_by_name["value"]


def is_bare(descriptor: Descriptor) -> bool:
    """Return whether a message is, in JSON, its only field."""
    return [field.name for field in descriptor.fields] == [ITEMS]
