"""JSON Schema in Gemini's dialect."""

from typing import Any

import pytest
from google.genai.types import Schema
from hypothesis import given, settings

from modelplane.adapters.providers.google_cloud_vertex_ai.gemini.schema import build_schema
from modelplane.adapters.providers.schemas.json_schema import SchemaTooLarge, Words
from tests.adapters.providers.schemas.examples import SCHEMAS
from tests.effort import times
from tests.emulators.google_cloud_vertex_ai.gemini_schema import check_schema

STRING = {"type": "STRING"}
INTEGER = {"type": "INTEGER"}
ANYTHING = {"anyOf": [STRING, {"type": "NUMBER"}, {"type": "BOOLEAN"}, {"type": "OBJECT"}]}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ANYTHING),
        ({"type": "string", "$id": "x", "examples": ["a"]}, STRING),
        ({"type": "STRING"}, STRING),
        (
            {"type": "object", "properties": {"type": {"type": "string"}}, "required": ["type"]},
            {"type": "OBJECT", "properties": {"type": STRING}, "required": ["type"]},
        ),
        ({"properties": {"a": {}}}, {"type": "OBJECT", "properties": {"a": ANYTHING}}),
        (
            {"type": "object", "additionalProperties": {"type": "string"}},
            {"type": "OBJECT", "description": '{additionalProperties: {"type": "string"}}'},
        ),
        ({"type": "object", "additionalProperties": False}, {"type": "OBJECT"}),
        ({"type": "array"}, {"type": "ARRAY", "items": ANYTHING}),
        ({"type": "array", "items": True}, {"type": "ARRAY", "items": ANYTHING}),
        ({"type": ["string", "null"]}, {**STRING, "nullable": True}),
        (
            {"type": ["string", "array"], "description": "d"},
            {
                "anyOf": [
                    {**STRING, "description": "d"},
                    {"type": "ARRAY", "items": ANYTHING, "description": "d"},
                ]
            },
        ),
        # A union stands alone: what is said beside it is said of each member.
        (
            {
                "title": "T",
                "description": "d",
                "default": 1,
                "anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}],
            },
            {
                "anyOf": [
                    {**STRING, "title": "T", "description": "d", "nullable": True},
                    {**INTEGER, "title": "T", "description": "d", "default": 1, "nullable": True},
                ]
            },
        ),
        (
            {
                "type": "object",
                "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
                "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
            },
            {
                "anyOf": [
                    {
                        "type": "OBJECT",
                        "properties": {"a": STRING, "b": STRING},
                        "required": [name],
                    }
                    for name in "ab"
                ]
            },
        ),
        (
            {"anyOf": [{"type": ["string", "integer"]}, {"anyOf": [{"type": "string"}, {}]}]},
            {
                "anyOf": [
                    STRING,
                    INTEGER,
                    {"type": "NUMBER"},
                    {"type": "BOOLEAN"},
                    {"type": "OBJECT"},
                ]
            },
        ),
        ({"type": "null"}, {**STRING, "nullable": True}),
        (
            {"enum": ["a", 1]},
            {"anyOf": [{**STRING, "enum": ["a"]}, {**INTEGER, "description": "{enum: [1]}"}]},
        ),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {**STRING, "nullable": True}),
        (
            {"oneOf": [{"type": "string"}, {"type": "integer"}]},
            {"anyOf": [STRING, {"type": "INTEGER"}]},
        ),
        ({"enum": ["a", "b"]}, {**STRING, "enum": ["a", "b"]}),
        ({"enum": ["a", None]}, {**STRING, "enum": ["a"], "nullable": True}),
        (
            {"type": "integer", "enum": [1, 2], "description": "d"},
            {"type": "INTEGER", "description": "d\n\n{enum: [1, 2]}"},
        ),
        ({"const": "a"}, {**STRING, "enum": ["a"]}),
        (
            {
                "allOf": [
                    {"properties": {"a": {"type": "string"}}, "required": ["a"]},
                    {"$ref": "#/$defs/b"},
                ],
                "$defs": {"b": {"properties": {"b": {"type": "string"}}, "required": ["b"]}},
            },
            {"type": "OBJECT", "properties": {"a": STRING, "b": STRING}, "required": ["a", "b"]},
        ),
        (
            {
                "properties": {"a": {"$ref": "#/definitions/x~1y", "description": "d"}},
                "definitions": {"x/y": {"type": "string"}},
            },
            {"type": "OBJECT", "properties": {"a": {**STRING, "description": "d"}}},
        ),
        ({"$ref": "#/nowhere"}, ANYTHING),
        ({"$ref": "#"}, {"type": "OBJECT"}),
        (
            {"properties": {"next": {"$ref": "#"}}},
            {
                "type": "OBJECT",
                "properties": {
                    "next": {"type": "OBJECT", "properties": {"next": {"type": "OBJECT"}}}
                },
            },
        ),
        (
            {"type": "number", "minimum": 0, "exclusiveMaximum": 2, "maxLength": 3},
            {"type": "NUMBER", "minimum": 0, "description": "{exclusiveMaximum: 2}"},
        ),
    ],
)
def test_a_schema(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert build_schema(given) == expected
    check_schema(expected)
    Schema.model_validate(expected)


@settings(max_examples=times(50, 500))
@given(schema=SCHEMAS)
def test_every_schema_becomes_one_of_the_dialect(schema: dict[str, Any]) -> None:
    built = build_schema(schema)
    check_schema(built)
    Schema.model_validate(built)


def test_what_is_lost_is_known() -> None:
    words = Words()
    long = {"type": "object", "patternProperties": {"x" * 500: {}}}
    build_schema({"type": "object", "properties": {"a": {"multipleOf": 2}, "b": long}}, words)
    assert [*words.notes("tools")] == [
        "tools.multipleOf=told in words",
        "tools.patternProperties=dropped",
    ]


def test_references_that_multiply_are_bounded() -> None:
    definitions = {
        str(level): {"properties": {name: {"$ref": f"#/$defs/{level + 1}"} for name in "abcd"}}
        for level in range(30)
    }
    with pytest.raises(SchemaTooLarge):
        build_schema({"$ref": "#/$defs/0", "$defs": definitions})
