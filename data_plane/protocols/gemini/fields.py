"""Reads fields and schemas as the Gemini API writes them; pure.

Its JSON is that of protocol buffers (https://protobuf.dev/programming-guides/json/): a field may be
written as `maxOutputTokens` or as `max_output_tokens`.
"""

from collections.abc import Collection

from modelplane.adapters.providers.types import JsonObject
from modelplane.data_plane.errors import InvalidParameter

# What a schema says that JSON Schema has no word for.
_OWN_WORDS = frozenset({"propertyOrdering", "property_ordering", "nullable", "example"})
# Words whose values are no schemas.
_LITERAL = ("enum", "required", "default")
_MOST_LEVELS = 64


def camel(name: str) -> str:
    """Return the name of a field as JSON usually has it."""
    if "_" not in name:
        return name
    first, *others = name.split("_")
    return first + "".join(word.title() for word in others)


def read_fields(value: object, where: str, known: Collection[str]) -> JsonObject:
    """Return an object with its fields named as usual; null ones are left out.

    Args:
        value: The object.
        where: What it is, for the refusal.
        known: Names of the fields that there may be.

    Raises:
        InvalidParameter: It is no object, or has another field.
    """
    if not isinstance(value, dict):
        raise InvalidParameter(f"'{where}' must be an object.")
    fields = {camel(name): field for name, field in value.items() if field is not None}
    for name in fields:
        if name not in known:
            raise InvalidParameter(
                f"'{name}' of '{where}' cannot be expressed for this endpoint: leave it out."
            )
    return fields


def read_objects(value: object, where: str) -> list[JsonObject]:
    """Return a list of objects.

    Raises:
        InvalidParameter: It is none.
    """
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise InvalidParameter(f"'{where}' must be a list of objects.")
    return value


def to_json_schema(schema: object, level: int = 0) -> object:
    """Return JSON Schema for a schema of the API, which takes its words from OpenAPI 3.0.

    Raises:
        InvalidParameter: It is nested too deeply.
    """
    if level > _MOST_LEVELS:
        raise InvalidParameter("A schema is nested too deeply.")
    if isinstance(schema, list):
        return [to_json_schema(item, level + 1) for item in schema]
    if not isinstance(schema, dict):
        return schema
    read = {
        camel(name): _read_word(name, value, level)
        for name, value in schema.items()
        if name not in _OWN_WORDS
    }
    if schema.get("nullable") is True and "type" in read:
        read["type"] = [read["type"], "null"]
    return read


def _read_word(name: str, value: object, level: int) -> object:
    if name == "type" and isinstance(value, str):
        return value.lower()
    if name == "properties" and isinstance(value, dict):
        return {key: to_json_schema(item, level + 1) for key, item in value.items()}
    return value if name in _LITERAL else to_json_schema(value, level + 1)
