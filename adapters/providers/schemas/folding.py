"""Folds what a JSON Schema combines or refers to into plain schemas: pure.

Some services refuse a tool whose arguments are a union, others know no references.
"""

from collections.abc import Sequence

from modelplane.adapters.providers.canonical.json_values import as_object, as_objects, as_texts
from modelplane.adapters.providers.schemas.json_schema import (
    DEFINITIONS,
    SchemaTooLarge,
    find_definition,
    is_object,
    map_inner,
)
from modelplane.adapters.providers.types import JsonObject

_COMBINED = ("allOf", "anyOf", "oneOf")
# References in place can multiply: a page of definitions may stand for millions of schemas.
_MOST_SCHEMAS = 10_000
_MOST_WORDS = 1000


def fold_root(schema: JsonObject) -> JsonObject:
    """Return a schema of an object that combines no others at its root.

    The result takes whatever the schema means to take, and more: the properties that any member of
    a union names, of which those are required that all members require. Its description tells of
    the members.

    Raises:
        SchemaTooLarge: It is, with its references in place.
    """
    if not schema.keys() & {"$ref", *_COMBINED}:
        return schema
    definitions = {name: schema[name] for name in DEFINITIONS if name in schema}
    return References(schema).fold(schema, ()) | definitions


def inline_references(schema: JsonObject) -> JsonObject:
    """Return a schema with its references put in place; one to itself takes any object.

    Raises:
        SchemaTooLarge: It is, then.
    """
    references = References(schema)

    def inline(part: JsonObject, seen: tuple[str, ...]) -> JsonObject:
        part, seen = references.resolve(part, seen)
        own = {name: value for name, value in part.items() if name not in DEFINITIONS}
        return map_inner(own, lambda inner: inline(inner, seen))

    try:
        return inline(schema, ())
    except RecursionError:
        raise SchemaTooLarge from None


def merge_schemas(first: JsonObject, second: JsonObject) -> JsonObject:
    """Return what two schemas say together; of what only one can say, the second has its way."""
    merged = {**first, **{name: value for name, value in second.items() if value is not None}}
    properties = dict(as_object(first.get("properties")))
    for name, schema in as_object(second.get("properties")).items():
        known = properties.get(name, schema)
        properties[name] = schema if known == schema else {"allOf": [known, schema]}
    required = dict.fromkeys([*as_texts(first.get("required")), *as_texts(second.get("required"))])
    said = dict.fromkeys(
        str(one["description"]) for one in (first, second) if one.get("description")
    )
    combined: JsonObject = {
        "properties": properties,
        "required": list(required),
        "description": "\n\n".join(said),
    }
    return merged | {name: value for name, value in combined.items() if value}


class References:
    """Puts in place what the references of one schema name."""

    def __init__(self, root: JsonObject) -> None:
        self._root = root
        self._schemas = 0

    def resolve(
        self, schema: JsonObject, seen: tuple[str, ...]
    ) -> tuple[JsonObject, tuple[str, ...]]:
        """Return a schema with what its reference names in its place, and the references to there.

        Args:
            schema: The schema.
            seen: References that led to it; one of them again stands for any object.

        Raises:
            SchemaTooLarge: There have been too many.
        """
        self._schemas += 1
        if self._schemas > _MOST_SCHEMAS:
            raise SchemaTooLarge
        while isinstance(reference := schema.get("$ref"), str):
            beside = {name: value for name, value in schema.items() if name != "$ref"}
            if reference in seen:
                return {"type": "object", **beside}, seen
            seen = (*seen, reference)
            schema = {**(find_definition(self._root, reference) or {}), **beside}
        return schema, seen

    def fold(self, schema: JsonObject, seen: tuple[str, ...]) -> JsonObject:
        """Return an object's schema that combines no others at its root.

        Raises:
            SchemaTooLarge: It is.
        """
        schema, seen = self.resolve(schema, seen)
        folded = {name: value for name, value in schema.items() if name not in _COMBINED}
        for name in _COMBINED:
            members = [self.fold(member, seen) for member in as_objects(schema.get(name))]
            members = [one for one in members if "type" not in one or is_object(one)]
            if name != "allOf":
                members = [_either(members)] if members else []
            for member in members:
                folded = merge_schemas(folded, member)
        return folded


def _either(members: Sequence[JsonObject]) -> JsonObject:
    """Return an object's schema that takes what any of several take, and more."""
    if len(members) == 1:
        return members[0]
    found: dict[str, list[object]] = {}
    for member in members:
        for name, schema in as_object(member.get("properties")).items():
            known = found.setdefault(name, [])
            known += [] if schema in known else [schema]
    needed = [as_texts(member.get("required")) for member in members]
    closed = all(member.get("additionalProperties") is False for member in members)
    forms = f"One of these forms: {'; '.join(map(_form, members))}."
    result: JsonObject = {
        "properties": {name: _any_of(schemas) for name, schemas in found.items()},
        "required": [name for name in needed[0] if all(name in one for one in needed)],
        "additionalProperties": False if closed else None,
        "description": forms if len(forms) <= _MOST_WORDS else "",
    }
    said = {name: value for name, value in result.items() if value or value is False}
    return {"type": "object", **said}


def _any_of(schemas: Sequence[object]) -> object:
    if len(schemas) == 1:
        return schemas[0]
    values: list[object] = []
    for schema in schemas:
        listed = _listed(schema)
        if listed is None:
            return {"anyOf": list(schemas)}
        values += listed
    kinds = {str(as_object(schema).get("type", "")) for schema in schemas}
    kind = {"type": kinds.pop()} if len(kinds) == 1 and "" not in kinds else {}
    return {**kind, "enum": values}


def _listed(schema: object) -> list[object] | None:
    """Return the values that a schema lists, where it says nothing else."""
    known = as_object(schema)
    if not known.keys() <= {"const", "enum", "type"}:
        return None
    if "const" in known:
        return [known["const"]]
    values = known.get("enum")
    return values if isinstance(values, list) else None


def _form(member: JsonObject) -> str:
    """Return a member of a union in words: its properties, with the values that tell it apart."""
    properties = as_object(member.get("properties"))
    shown = []
    for name in properties or as_texts(member.get("required")):
        values = _listed(properties.get(name)) or []
        shown.append(f"{name}={values[0]}" if len(values) == 1 else name)
    said = member.get("description")
    return f"({', '.join(shown)}){f': {said}' if said else ''}"
