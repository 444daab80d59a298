"""Walks JSON Schemas: pure, for adapters whose provider takes a stricter dialect."""

from collections.abc import Callable

from modelplane.adapters.providers.types import JsonObject

_MAPS = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
_LISTS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_SINGLE = frozenset(
    {"items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames"}
)


def map_schemas(schema: JsonObject, change: Callable[[JsonObject], JsonObject]) -> JsonObject:
    """Return a schema with `change` applied to it and to every schema inside it.

    Only schemas are visited: a property called `type`, or an example, is left alone.
    """
    return change({name: _visit(name, value, change) for name, value in schema.items()})


def is_object(schema: JsonObject) -> bool:
    """Return whether a schema describes objects."""
    kind = schema.get("type")
    return kind == "object" or (isinstance(kind, list) and "object" in kind)


def _visit(name: str, value: object, change: Callable[[JsonObject], JsonObject]) -> object:
    def walk(item: object) -> object:
        return map_schemas(item, change) if isinstance(item, dict) else item

    if name in _MAPS and isinstance(value, dict):
        return {key: walk(item) for key, item in value.items()}
    if name in _LISTS and isinstance(value, list):
        return [walk(item) for item in value]
    return walk(value) if name in _SINGLE else value
