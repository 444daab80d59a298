"""What services refuse in JSON schemas: how such rules are written, and what breaks one.

The rules themselves are in `refusals.py`. Adapters write schemas that keep them, emulators refuse
those that do not.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from modelplane.adapters.providers.schemas.json_schema import inner_schemas, refers_to_itself
from modelplane.adapters.providers.types import JsonObject

_UNIONS = ("anyOf", "oneOf")


@dataclass(frozen=True, slots=True)
class SchemaRules:
    """What a service refuses in a schema.

    Attributes:
        source: Who says so.
        keywords: The only keywords that it takes; None: any.
        root_keywords: The only ones that it takes at the root; None: as elsewhere.
        refused: Keywords that it refuses.
        refused_at_root: Keywords that it refuses at the root.
        alone: Keywords beside which nothing else may stand.
        typed: Whether each schema needs a type, or one of `alone`.
        types: Spellings of types that it takes; None: any.
        closed: Whether objects must forbid what is not among their properties.
        formats: Formats of texts that it takes; None: any.
        refused_patterns: Matches what it refuses in a `pattern`; None: nothing.
        most_min_items: Highest `minItems`; None: any.
        plain_enums: Whether listed values must be neither objects nor lists.
        texts_only: Whether listed values must be texts.
        recursive: Whether a schema may refer to itself.
        needs_required: Whether each object needs a property that is required.
        most_unions: Properties with several types that a request may have.
        most_optional: Properties that are not required that a request may have.
    """

    source: str
    keywords: frozenset[str] | None = None
    root_keywords: frozenset[str] | None = None
    refused: frozenset[str] = frozenset()
    refused_at_root: frozenset[str] = frozenset()
    alone: frozenset[str] = frozenset()
    typed: bool = False
    types: frozenset[str] | None = None
    closed: bool = False
    formats: frozenset[str] | None = None
    refused_patterns: re.Pattern[str] | None = None
    most_min_items: int | None = None
    plain_enums: bool = False
    texts_only: bool = False
    recursive: bool = True
    needs_required: bool = False
    most_unions: int | None = None
    most_optional: int | None = None


@dataclass(frozen=True, slots=True)
class SchemaFault:
    """What in a schema a service refuses: where, and why."""

    path: str
    reason: str = field(compare=False)


def find_faults(schema: JsonObject, rules: SchemaRules) -> Iterator[SchemaFault]:
    """Yield what in a schema breaks the rules."""
    if rules.root_keywords is not None:
        for name in schema.keys() - rules.root_keywords:
            yield SchemaFault("", f"the keyword '{name}' is not taken at the root")
    for name in schema.keys() & rules.refused_at_root:
        yield SchemaFault("", f"the keyword '{name}' is not taken at the root")
    if not rules.recursive and refers_to_itself(schema):
        yield SchemaFault("", "it refers to itself")
    yield from _find("", schema, rules)


def count_unions(schema: JsonObject) -> int:
    """Return how many schemas within a schema, itself included, allow several types."""
    own = any(name in schema for name in _UNIONS) or isinstance(schema.get("type"), list)
    return own + sum(count_unions(inner) for _, inner in inner_schemas(schema))


def count_optional(schema: JsonObject) -> int:
    """Return how many properties within a schema need not be there."""
    properties, required = schema.get("properties"), schema.get("required")
    names = properties.keys() if isinstance(properties, dict) else ()
    needed = required if isinstance(required, list) else ()
    own = sum(name not in needed for name in names)
    return own + sum(count_optional(inner) for _, inner in inner_schemas(schema))


def _find(path: str, schema: JsonObject, rules: SchemaRules) -> Iterator[SchemaFault]:
    for reason in _reasons(schema, rules):
        yield SchemaFault(path, reason)
    for name, inner in inner_schemas(schema):
        yield from _find(f"{path}/{name}", inner, rules)


def _reasons(schema: JsonObject, rules: SchemaRules) -> Iterator[str]:
    taken = schema.keys() if rules.keywords is None else rules.keywords
    for name in (schema.keys() - taken) | (schema.keys() & rules.refused):
        yield f"the keyword '{name}' is not taken"
    for name in schema.keys() & rules.alone:
        if len(schema) > 1:
            yield f"'{name}' must be the only field"
    kind = schema.get("type")
    if rules.typed and kind is None and not schema.keys() & rules.alone:
        yield "it has no type"
    if rules.types is not None and kind is not None and kind not in rules.types:
        yield f"the type {kind!r} is not known"
    yield from _value_reasons(schema, rules)
    if kind in ("object", "OBJECT"):
        yield from _object_reasons(schema, rules)
    if kind == "ARRAY" and "items" not in schema:
        yield "a list has no items"


def _value_reasons(schema: Mapping[str, object], rules: SchemaRules) -> Iterator[str]:
    if rules.formats is not None and schema.get("format", "") not in {"", *rules.formats}:
        yield f"the format {schema['format']!r} is not taken"
    pattern = schema.get("pattern")
    if rules.refused_patterns and rules.refused_patterns.search(str(pattern)):
        yield f"the pattern {pattern!r} is not taken"
    lowest, most = schema.get("minItems"), rules.most_min_items
    if most is not None and isinstance(lowest, int) and lowest > most:
        yield f"'minItems' must not be above {most}"
    values = schema.get("enum")
    for value in values if isinstance(values, list) else ():
        if rules.plain_enums and isinstance(value, dict | list):
            yield "'enum' holds what is no plain value"
        if rules.texts_only and not isinstance(value, str):
            yield "'enum' holds what is no text"


def _object_reasons(schema: Mapping[str, object], rules: SchemaRules) -> Iterator[str]:
    if rules.closed and schema.get("additionalProperties") is not False:
        yield "'additionalProperties' must be false"
    properties, required = schema.get("properties"), schema.get("required")
    names = properties if isinstance(properties, dict) else {}
    listed = required if isinstance(required, list) else []
    if rules.needs_required and not listed:
        yield "no property is required"
    if rules.types is not None and not set(map(str, listed)) <= set(names):
        yield "'required' names what is no property"
