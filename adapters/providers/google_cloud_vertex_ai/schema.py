"""From JSON Schema to the part of OpenAPI 3.0 that Gemini takes for functions and answers.

API: https://cloud.google.com/vertex-ai/docs/reference/rest/v1/Schema. References are put in place,
`oneOf` and several types become `anyOf`, null becomes `nullable`, `allOf` is merged; keywords that
it does not have are left out, since one of them makes it refuse the whole request.

Used by `gemini.py`.
"""

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from modelplane.adapters.providers.types import JsonObject

_KEPT = (
    "title",
    "description",
    "format",
    "default",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "nullable",
    "propertyOrdering",
)
_TYPES = frozenset({"string", "number", "integer", "boolean", "array", "object"})
_NULL = "null"
_BOUND_TO_TYPE = ("type", "enum", "items", "properties", "required")
# References in place can multiply: a page of definitions may stand for millions of schemas.
_MOST_SCHEMAS = 10_000
# References that lead to a schema.
_Seen: TypeAlias = tuple[str, ...]


class SchemaTooLarge(Exception):
    """A schema is nested too deeply, or too large once its references are in place."""


def build_schema(schema: JsonObject) -> JsonObject:
    """Return a JSON Schema in Gemini's dialect.

    Raises:
        SchemaTooLarge: It is.
    """
    try:
        return _Converter(schema).convert(schema, ())
    except RecursionError:
        raise SchemaTooLarge from None


class _Converter:
    """Converts the parts of one schema, whose definitions references name."""

    def __init__(self, root: JsonObject) -> None:
        self._root = root
        self._schemas = 0

    def convert(self, schema: JsonObject, seen: _Seen) -> JsonObject:
        self._count()
        schema, seen = self._merge(*self._resolve(schema, seen))
        result: JsonObject = {name: schema[name] for name in _KEPT if schema.get(name) is not None}
        self._put_enum(result, schema)
        properties = schema.get("properties")
        if isinstance(properties, dict) and properties:
            result["properties"] = {
                name: self.convert(_object(value), seen) for name, value in properties.items()
            }
            _put_required(result, schema.get("required"), properties)
        if "items" in schema:
            result["items"] = self.convert(_object(schema["items"]), seen)
        self._put_types(result, schema)
        self._put_alternatives(result, schema, seen)
        return result

    def _resolve(self, schema: JsonObject, seen: _Seen) -> tuple[JsonObject, _Seen]:
        while isinstance(reference := schema.get("$ref"), str):
            beside = {name: value for name, value in schema.items() if name != "$ref"}
            if reference in seen:
                # The dialect has no recursion: below this depth anything goes.
                return {"type": "object", **beside}, seen
            seen = (*seen, reference)
            schema = {**self._definition(reference), **beside}
        return schema, seen

    def _definition(self, reference: str) -> JsonObject:
        value: object = self._root
        for part in reference.removeprefix("#").split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            value = value.get(name) if isinstance(value, dict) else None
        return _object(value)

    def _merge(self, schema: JsonObject, seen: _Seen) -> tuple[JsonObject, _Seen]:
        parts = schema.get("allOf")
        if not isinstance(parts, list):
            return schema, seen
        merged: JsonObject = {}
        properties: JsonObject = {}
        required: list[object] = []
        rest = {name: value for name, value in schema.items() if name != "allOf"}
        for item in (*map(_object, parts), rest):
            self._count()
            part, seen = self._merge(*self._resolve(item, seen))
            merged.update(part)
            properties.update(_object(part.get("properties")))
            required.extend(_items(part.get("required")))
        combined = {"properties": properties, "required": required}
        return merged | {name: value for name, value in combined.items() if value}, seen

    def _count(self) -> None:
        self._schemas += 1
        if self._schemas > _MOST_SCHEMAS:
            raise SchemaTooLarge

    def _put_enum(self, result: JsonObject, schema: JsonObject) -> None:
        values = [schema["const"]] if "const" in schema else list(_items(schema.get("enum")))
        named = [value for value in values if value is not None]
        if len(named) < len(values):
            result["nullable"] = True
        if named and all(isinstance(value, str) for value in named):
            result["enum"] = named
            result["type"] = "STRING"
        elif named:
            # Only texts can be listed; the model is told of other values in words.
            allowed = "One of: " + ", ".join(str(value) for value in named)
            result["description"] = ". ".join(
                filter(None, (str(schema.get("description") or ""), allowed))
            )

    def _put_types(self, result: JsonObject, schema: JsonObject) -> None:
        declared = schema.get("type")
        names = [str(name).lower() for name in _items(declared)] or [str(declared).lower()]
        if _NULL in names:
            result["nullable"] = True
        if "enum" in result:
            return
        types = [name.upper() for name in names if name in _TYPES]
        if len(types) == 1:
            result["type"] = types[0]
        elif types:
            result["anyOf"] = [
                {"type": name, **({"items": {}} if name == "ARRAY" else {})} for name in types
            ]
            for name in ("items", "properties", "required"):
                result.pop(name, None)
        elif "properties" in result:
            result["type"] = "OBJECT"
        if result.get("type") == "ARRAY":
            result.setdefault("items", {})

    def _put_alternatives(self, result: JsonObject, schema: JsonObject, seen: _Seen) -> None:
        converted = [
            self.convert(option, seen)
            for option in _alternatives(schema)
            if option.get("type") != _NULL
        ]
        if len(converted) < len(list(_alternatives(schema))):
            result["nullable"] = True
        if len(converted) == 1:
            (only,) = converted
            if "type" in only:
                for name in _BOUND_TO_TYPE:
                    result.pop(name, None)
            for name, value in only.items():
                result.setdefault(name, value)
        elif converted:
            result["anyOf"] = converted


def _alternatives(schema: Mapping[str, object]) -> Iterator[JsonObject]:
    for name in ("anyOf", "oneOf"):
        yield from map(_object, _items(schema.get(name)))


def _put_required(result: JsonObject, required: object, properties: JsonObject) -> None:
    names = [name for name in _items(required) if name in properties]
    if names:
        result["required"] = names


def _object(value: object) -> JsonObject:
    # `true` and `false` are schemas too; both say nothing that the dialect could.
    return value if isinstance(value, dict) else {}


def _items(value: object) -> list[object]:
    return value if isinstance(value, list) else []
