"""Schemas whose unions and references are folded."""

from typing import Any

import pytest
from hypothesis import given, settings

from modelplane.adapters.providers.schemas.folding import fold_root, inline_references
from modelplane.adapters.providers.schemas.json_schema import SchemaTooLarge, inner_schemas
from tests.adapters.providers.schemas.examples import ARGUMENTS, INSTANCES, accepts
from tests.effort import times

ID: dict[str, Any] = {
    "type": "object",
    "properties": {"id": {"type": "string"}},
    "required": ["id"],
}
NAME: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
}
examples = settings(max_examples=times(40, 500))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (ID, ID),
        (
            {"anyOf": [ID, NAME]},
            {
                "type": "object",
                "properties": {**ID["properties"], **NAME["properties"]},
                "description": "One of these forms: (id); (name).",
            },
        ),
        (
            {
                "type": "object",
                "description": "Finds.",
                "properties": {"id": {}, "name": {}, "n": {}},
                "required": ["n"],
                "anyOf": [{"required": ["id"]}, {"required": ["name"]}],
            },
            {
                "type": "object",
                "description": "Finds.\n\nOne of these forms: (id); (name).",
                "properties": {"id": {}, "name": {}, "n": {}},
                "required": ["n"],
            },
        ),
        # As zod writes a union that a property tells apart.
        (
            {
                "oneOf": [
                    {
                        "type": "object",
                        "properties": {"kind": {"type": "string", "const": kind}, **more},
                        "required": ["kind", *more],
                        "additionalProperties": False,
                    }
                    for kind, more in (("a", {"x": {"type": "integer"}}), ("b", {}))
                ]
            },
            {
                "type": "object",
                "properties": {
                    "kind": {"type": "string", "enum": ["a", "b"]},
                    "x": {"type": "integer"},
                },
                "required": ["kind"],
                "additionalProperties": False,
                "description": "One of these forms: (kind=a, x); (kind=b).",
            },
        ),
        (
            {"allOf": [{"$ref": "#/$defs/id"}, NAME], "$defs": {"id": ID}},
            {
                "type": "object",
                "properties": {**ID["properties"], **NAME["properties"]},
                "required": ["id", "name"],
                "$defs": {"id": ID},
            },
        ),
        ({"anyOf": [ID, {"type": "null"}]}, ID),
        (
            {"anyOf": [{"properties": {"a": {"type": "string"}}}, {"properties": {"a": {}}}]},
            {
                "type": "object",
                "properties": {"a": {"anyOf": [{"type": "string"}, {}]}},
                "description": "One of these forms: (a); (a).",
            },
        ),
    ],
)
def test_a_root(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert fold_root(given) == expected


@examples
@given(schema=ARGUMENTS, value=INSTANCES)
def test_what_a_schema_takes_the_folded_one_takes(schema: dict[str, Any], value: Any) -> None:
    folded = fold_root(schema)
    assert not folded.keys() & {"anyOf", "oneOf", "allOf", "$ref"}
    if isinstance(value, dict) and accepts(schema, value):
        assert accepts(folded, value)


def test_references_are_put_in_place() -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/a", "description": "d"}},
        "$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/a"}}},
    }
    assert inline_references(schema) == {
        "type": "object",
        "properties": {"a": {"type": "array", "items": {"type": "object"}, "description": "d"}},
    }


@examples
@given(schema=ARGUMENTS, value=INSTANCES)
def test_what_a_schema_takes_it_takes_with_references_in_place(
    schema: dict[str, Any], value: Any
) -> None:
    inlined = inline_references(schema)
    assert not any("$ref" in one for one in _all(inlined))
    if accepts(schema, value):
        assert accepts(inlined, value)


def _all(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [schema, *(one for _, inner in inner_schemas(schema) for one in _all(inner))]


def test_references_that_multiply_are_bounded() -> None:
    definitions = {
        str(level): {"allOf": [{"$ref": f"#/$defs/{level + 1}"}] * 4} for level in range(30)
    }
    schema: dict[str, Any] = {"$ref": "#/$defs/0", "$defs": definitions}
    for fold in (fold_root, inline_references):
        with pytest.raises(SchemaTooLarge):
            fold(schema)
