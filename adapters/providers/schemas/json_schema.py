"""Walks JSON Schemas: pure, for adapters whose provider takes a stricter dialect.

`rules.py` says what is refused, `folding.py` and `fitting.py` mend it.
"""

import json
from collections.abc import Callable, Iterator

from modelplane.adapters.providers.types import JsonObject

DEFINITIONS = ("$defs", "definitions")
_MAPS = frozenset({"properties", "patternProperties", "dependentSchemas", *DEFINITIONS})
_LISTS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_SINGLE = frozenset(
    {"items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames"}
)
# Keywords that decide what a schema takes. Others only describe, or mean nothing to most.
_MEANINGFUL = frozenset(
    {
        *("type", "enum", "const", "default", "format", "pattern", "minLength", "maxLength"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        *("items", "prefixItems", "additionalItems", "unevaluatedItems", "uniqueItems"),
        *("minItems", "maxItems", "contains", "minContains", "maxContains"),
        *("properties", "required", "patternProperties", "propertyNames", "additionalProperties"),
        *("unevaluatedProperties", "minProperties", "maxProperties", "dependentRequired"),
        *("dependentSchemas", "dependencies", "anyOf", "oneOf", "allOf", "not", "if", "then"),
        "else",
    }
)
_MOST_WORDS = 400


class SchemaTooLarge(Exception):
    """A schema is nested too deeply, or too large once its references are in place."""


def map_schemas(schema: JsonObject, change: Callable[[JsonObject], JsonObject]) -> JsonObject:
    """Return a schema with `change` applied to it and to every schema inside it.

    Only schemas are visited: a property called `type`, or an example, is left alone.
    """
    return change(map_inner(schema, lambda inner: map_schemas(inner, change)))


def map_inner(schema: JsonObject, change: Callable[[JsonObject], JsonObject]) -> JsonObject:
    """Return a schema with `change` applied to every schema right inside it."""

    def visit(item: object) -> object:
        return change(item) if isinstance(item, dict) else item

    changed: JsonObject = {}
    for name, value in schema.items():
        if name in _MAPS and isinstance(value, dict):
            changed[name] = {key: visit(item) for key, item in value.items()}
        elif name in _LISTS and isinstance(value, list):
            changed[name] = [visit(item) for item in value]
        else:
            changed[name] = visit(value) if name in _SINGLE else value
    return changed


def inner_schemas(schema: JsonObject) -> Iterator[tuple[str, JsonObject]]:
    """Yield the schemas right inside a schema, each with where it stands."""
    for name, value in schema.items():
        if name in _MAPS and isinstance(value, dict):
            places = [(f"{name}/{key}", one) for key, one in value.items()]
        elif name in _LISTS and isinstance(value, list):
            places = [(f"{name}/{at}", one) for at, one in enumerate(value)]
        else:
            places = [(name, value)] if name in _SINGLE else []
        yield from ((place, one) for place, one in places if isinstance(one, dict))


def is_object(schema: JsonObject) -> bool:
    """Return whether a schema describes objects."""
    kind = schema.get("type")
    return kind == "object" or (isinstance(kind, list) and "object" in kind)


def find_definition(root: JsonObject, reference: str) -> JsonObject | None:
    """Return the schema that a reference within `root` names; None where there is none."""
    if not reference.startswith("#"):
        return None
    value: object = root
    for part in reference.removeprefix("#").split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else None


def refers_to_itself(schema: JsonObject) -> bool:
    """Return whether a schema holds a reference to what holds that reference."""

    def visit(part: JsonObject, under_way: tuple[str, ...]) -> bool:
        reference = part.get("$ref")
        if isinstance(reference, str):
            target = find_definition(schema, reference)
            if reference in under_way:
                return True
            if target is not None and visit(target, (*under_way, reference)):
                return True
        places = inner_schemas(part)
        return any(visit(one, under_way) for at, one in places if not at.startswith(DEFINITIONS))

    return visit(schema, ("#",))


class Words:
    """What schemas of one query say that their service does not take, told in their descriptions.

    Attributes:
        changes: What became of a keyword, by its name.
    """

    __slots__ = ("changes",)

    def __init__(self) -> None:
        self.changes: dict[str, str] = {}

    def add(self, schema: JsonObject, keywords: JsonObject) -> JsonObject:
        """Return a schema whose description tells of keywords, so that the model may heed them.

        Those that mean nothing are left out.
        """
        words = []
        for name, value in keywords.items():
            if name not in _MEANINGFUL or value is None:
                continue
            text = f"{name}: {json.dumps(value, ensure_ascii=False)}"
            if len(text) <= _MOST_WORDS:
                words.append(text)
            self.changes[name] = "told in words" if text in words else "dropped"
        if not words:
            return schema
        own = schema.get("description")
        text = f"{{{', '.join(words)}}}"
        return {**schema, "description": f"{own}\n\n{text}" if own else text}

    def notes(self, where: str) -> Iterator[str]:
        """Yield what `Plan.adapted` says of it; `where` is the parameter that holds the schema."""
        yield from (f"{where}.{name}={change}" for name, change in self.changes.items())
