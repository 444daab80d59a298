"""Whether a value fits a JSON Schema, as far as the documents of endpoints use that."""

from collections.abc import Callable, Mapping
from typing import Any

_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
}
_KNOWN = {
    *("type", "format", "default", "enum", "oneOf", "anyOf"),
    *("properties", "required", "additionalProperties", "items", "prefixItems"),
}


def fits(value: Any, schema: Mapping[str, Any]) -> bool:
    """Tell whether a value fits; a schema with a keyword that is not known here is an error."""
    assert set(schema) <= _KNOWN, schema
    if "type" in schema and not _TYPES[schema["type"]](value):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "oneOf" in schema and sum(fits(value, one) for one in schema["oneOf"]) != 1:
        return False
    if "anyOf" in schema and not any(fits(value, one) for one in schema["anyOf"]):
        return False
    if isinstance(value, dict):
        return _object_fits(value, schema)
    return _list_fits(value, schema) if isinstance(value, list) else True


def _object_fits(value: Mapping[str, Any], schema: Mapping[str, Any]) -> bool:
    properties, other = schema.get("properties", {}), schema.get("additionalProperties", {})
    return set(schema.get("required", ())) <= set(value) and all(
        fits(item, properties.get(name, other)) for name, item in value.items()
    )


def _list_fits(value: list[Any], schema: Mapping[str, Any]) -> bool:
    prefix, rest = schema.get("prefixItems", []), schema.get("items", {})
    schemas = [*prefix, *([rest] * (len(value) - len(prefix)))]
    return all(fits(item, schemas[place]) for place, item in enumerate(value))
