"""Makes JSON Schemas fit what a service takes: pure. `refusals.py` has the rules.

What a service does not take is told in the description, as the services' own SDKs do it.
"""

from modelplane.adapters.providers.canonical.json_values import as_object, as_objects
from modelplane.adapters.providers.schemas.folding import merge_schemas
from modelplane.adapters.providers.schemas.json_schema import (
    Words,
    inner_schemas,
    is_object,
    map_schemas,
)
from modelplane.adapters.providers.schemas.rules import (
    SchemaRules,
    count_optional,
    count_unions,
    find_faults,
)
from modelplane.adapters.providers.types import JsonObject

_UNIONS = ("anyOf", "oneOf")


class SchemaUnfit(Exception):
    """A schema cannot be made to fit; the text says why, and may repeat the schema's own words."""


def fit_schema(schema: JsonObject, rules: SchemaRules, words: Words) -> JsonObject:
    """Return a schema that a service takes.

    Args:
        schema: The schema.
        rules: What the service refuses.
        words: Told of what is put in words.

    Raises:
        SchemaUnfit: There is none that would mean the same.
    """
    fitted = map_schemas(schema, lambda one: _fit(one, rules, words))
    for fault in find_faults(fitted, rules):
        raise SchemaUnfit(f"{fault.reason} (at '{fault.path or '/'}')")
    if rules.most_unions is not None and count_unions(fitted) > rules.most_unions:
        raise SchemaUnfit(f"more than {rules.most_unions} of its values have several types")
    if rules.most_optional is not None and count_optional(fitted) > rules.most_optional:
        raise SchemaUnfit(f"more than {rules.most_optional} of its properties are not required")
    return fitted


def opens(schema: JsonObject) -> bool:
    """Return whether a schema lets objects have more than the properties that it names."""
    own = is_object(schema) and schema.get("additionalProperties") is not False
    return own or any(opens(inner) for _, inner in inner_schemas(schema))


def _fit(schema: JsonObject, rules: SchemaRules, words: Words) -> JsonObject:
    """Return a schema whose inner schemas fit already, fitted itself."""
    schema = _plain_unions(schema, rules)
    kept: JsonObject = {}
    beyond: JsonObject = {}
    for name, value in schema.items():
        (kept if _takes(rules, name, value) else beyond)[name] = value
    # That nothing else may be there goes without saying where it cannot be said.
    if isinstance(beyond.get("additionalProperties"), bool):
        del beyond["additionalProperties"]
    if is_object(kept) or "properties" in kept:
        if rules.closed:
            kept["additionalProperties"] = False
        if rules.needs_required and not kept.get("required"):
            kept["required"] = _require_one(kept)
            words.changes["required"] = "one property added"
    return words.add(kept, beyond)


def _require_one(schema: JsonObject) -> list[str]:
    """Return a requirement for an object that has none, where there has to be one."""
    names = list(as_object(schema.get("properties")))
    if not names:
        raise SchemaUnfit("an object without properties is not taken")
    return names[:1]


def _plain_unions(schema: JsonObject, rules: SchemaRules) -> JsonObject:
    """Return a schema with its combinations in the form that a service takes, if it takes any."""
    parts = as_objects(schema.get("allOf"))
    if len(parts) == 1 or (parts and not _knows(rules, "allOf")):
        rest = {name: value for name, value in schema.items() if name != "allOf"}
        for part in parts:
            rest = merge_schemas(rest, part)
        schema = rest
    for name in _UNIONS:
        if name not in schema or _knows(rules, name):
            continue
        rest = {key: value for key, value in schema.items() if key != name}
        if _knows(rules, "anyOf") and "anyOf" not in rest:
            schema = {**rest, "anyOf": schema[name]}
            continue
        options = [one for one in as_objects(schema[name]) if one.get("type") != "null"]
        if len(options) != 1:
            raise SchemaUnfit(f"'{name}' of several types is not taken")
        schema = merge_schemas(rest, options[0])
    return schema


def _knows(rules: SchemaRules, keyword: str) -> bool:
    known = rules.keywords is None or keyword in rules.keywords
    return known and keyword not in rules.refused


def _takes(rules: SchemaRules, name: str, value: object) -> bool:
    """Tell whether a service takes a keyword with a value."""
    if not _knows(rules, name):
        return False
    if name == "format" and rules.formats is not None:
        return value in rules.formats
    if name == "pattern" and rules.refused_patterns is not None:
        return not rules.refused_patterns.search(str(value))
    if name == "minItems" and rules.most_min_items is not None:
        return isinstance(value, int) and value <= rules.most_min_items
    if name in ("enum", "const") and rules.plain_enums:
        values = value if name == "enum" and isinstance(value, list) else [value]
        return not any(isinstance(one, dict | list) for one in values)
    return True
