"""From JSON Schema to the part of OpenAPI 3.0 that Gemini takes for functions and answers.

API: https://cloud.google.com/vertex-ai/docs/reference/rest/v1/Schema. `refusals.GEMINI` has what it
refuses. References are put in place and `allOf` is merged; null becomes `nullable`. A union stands
alone there, so that what is said beside it is said in each of its members. Keywords that the
dialect does not have are told in the description, since one of them makes it refuse the request.

Used by `tools.py`.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from modelplane.adapters.providers.canonical.json_values import as_object, as_objects
from modelplane.adapters.providers.schemas.folding import References, merge_schemas
from modelplane.adapters.providers.schemas.json_schema import SchemaTooLarge, Words
from modelplane.adapters.providers.types import JsonObject

_ANNOTATIONS = ("title", "description", "default", "nullable")
_BY_TYPE: Mapping[str, tuple[str, ...]] = {
    "string": ("format", "pattern", "minLength", "maxLength"),
    "number": ("format", "minimum", "maximum"),
    "integer": ("format", "minimum", "maximum"),
    "boolean": (),
    "array": ("minItems", "maxItems"),
    "object": ("minProperties", "maxProperties", "propertyOrdering"),
}
_NULL = "null"
# Each schema needs a type: one without takes any of these.
_ANY_TYPE = ["string", "number", "boolean", "object"]
_UNIONS = ("anyOf", "oneOf")
# What is dealt with elsewhere, or means nothing beside the type.
_KNOWN = {
    *(name for names in _BY_TYPE.values() for name in names),
    *("type", "enum", "const", "items", "properties", "required", "additionalProperties"),
    *(*_ANNOTATIONS, *_UNIONS),
}
# References that lead to a schema.
_Seen: TypeAlias = tuple[str, ...]


def build_schema(schema: JsonObject, words: Words | None = None) -> JsonObject:
    """Return a JSON Schema in Gemini's dialect.

    Args:
        schema: The schema.
        words: Told of what the dialect cannot say.

    Raises:
        SchemaTooLarge: It is nested too deeply, or too large once its references are in place.
    """
    try:
        return _Converter(schema, words or Words()).convert(schema, ())
    except RecursionError:
        raise SchemaTooLarge from None


class _Converter:
    """Converts the parts of one schema, whose definitions references name."""

    def __init__(self, root: JsonObject, words: Words) -> None:
        self._references = References(root)
        self._words = words

    def convert(self, schema: JsonObject, seen: _Seen) -> JsonObject:
        schema, seen = self._merge(schema, seen)
        for name in _UNIONS:
            if options := as_objects(schema.get(name)):
                rest = {key: value for key, value in schema.items() if key != name}
                return self._union(rest, options, seen)
        types = _types(schema)
        kinds = [kind for kind in types if kind != _NULL]
        if len(kinds) < len(types):
            schema = {**schema, "nullable": True}
        if len(kinds) == 1:
            return self._plain(schema, kinds[0], seen)
        options = [{"type": kind} for kind in kinds or ["string"]]
        return self._union({**schema, "type": None}, options, seen)

    def _merge(self, schema: JsonObject, seen: _Seen) -> tuple[JsonObject, _Seen]:
        """Return a schema without reference and `allOf`."""
        schema, seen = self._references.resolve(schema, seen)
        parts = schema.get("allOf")
        if not isinstance(parts, list):
            return schema, seen
        merged: JsonObject = {}
        led = dict.fromkeys(seen)
        rest = {name: value for name, value in schema.items() if name != "allOf"}
        for item in (*map(as_object, parts), rest):
            part, own = self._merge(item, seen)
            led |= dict.fromkeys(own)
            merged = merge_schemas(merged, part)
        return merged, tuple(led)

    def _union(self, rest: JsonObject, options: Sequence[JsonObject], seen: _Seen) -> JsonObject:
        """Return a schema that takes what one of the options does, and the rest as well."""
        members: list[JsonObject] = []
        nullable = bool(rest.get("nullable"))
        for option in options:
            if option.get("type") == _NULL:
                nullable = True
                continue
            own, led = self._merge(option, seen)
            converted = self.convert(merge_schemas(rest, own), led)
            # A union in a union is one.
            for member in as_objects(converted.get("anyOf")) or [converted]:
                if member not in members:
                    members.append(member)
        if nullable:
            members = [{**member, "nullable": True} for member in members]
        if not members:
            return self.convert({**rest, "type": "string", "nullable": True}, seen)
        return members[0] if len(members) == 1 else {"anyOf": members}

    def _plain(self, schema: JsonObject, kind: str, seen: _Seen) -> JsonObject:
        """Return a schema of one type."""
        result: JsonObject = {"type": kind.upper()}
        kept = (*_ANNOTATIONS, *_BY_TYPE[kind])
        result |= {name: schema[name] for name in kept if schema.get(name) is not None}
        if "default" in result and not _is(result["default"], kind):
            del result["default"]
        beyond = {name: value for name, value in schema.items() if name not in _KNOWN}
        if "enum" in schema or "const" in schema:
            result = self._put_values(result, schema, kind)
        if kind == "array":
            result["items"] = self.convert(as_object(schema.get("items")), seen)
        if kind == "object":
            self._put_properties(result, schema, seen)
            # That no other properties may be there says nothing to a model; what they may be does.
            if isinstance(others := schema.get("additionalProperties"), dict) and others:
                beyond["additionalProperties"] = others
        return self._words.add(result, beyond) if beyond else result

    def _put_values(self, result: JsonObject, schema: JsonObject, kind: str) -> JsonObject:
        """Return a schema with the values that are listed; only texts can be, others are told."""
        values = [schema["const"]] if "const" in schema else _items(schema.get("enum"))
        named = [value for value in values if value is not None]
        if len(named) < len(values):
            result = {**result, "nullable": True}
        own = [value for value in named if _is(value, kind)]
        if kind == "string" and own:
            return {**result, "enum": own}
        return self._words.add(result, {"enum": own} if own else {})

    def _put_properties(self, result: JsonObject, schema: JsonObject, seen: _Seen) -> None:
        properties = as_object(schema.get("properties"))
        if not properties:
            return
        result["properties"] = {
            name: self.convert(as_object(value), seen) for name, value in properties.items()
        }
        if names := [name for name in _items(schema.get("required")) if name in properties]:
            result["required"] = names


def _types(schema: JsonObject) -> list[str]:
    """Return the types that a schema takes, in small letters; what it implies if it says none."""
    declared = schema.get("type")
    listed = declared if isinstance(declared, list) else [declared]
    named = [str(name).lower() for name in listed]
    if known := [name for name in named if name in _BY_TYPE or name == _NULL]:
        return list(dict.fromkeys(known))
    if "properties" in schema:
        return ["object"]
    if "items" in schema:
        return ["array"]
    values = [schema["const"]] if "const" in schema else _items(schema.get("enum"))
    return list(dict.fromkeys(map(_type_of, values))) or _ANY_TYPE


def _type_of(value: object) -> str:
    if value is None:
        return _NULL
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "integer" if isinstance(value, int) else "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _is(value: object, kind: str) -> bool:
    own = _type_of(value)
    return own == kind or (kind == "number" and own == "integer")


def _items(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else []
