"""JSON Schema in Gemini's dialect."""

from typing import Any

import pytest
from google.genai.types import Schema
from hypothesis import given
from hypothesis import strategies as st

from modelplane.adapters.providers.google_cloud_vertex_ai.schema import SchemaTooLarge, build_schema
from tests.emulators.google_cloud_vertex_ai.gemini_schema import check_schema

STRING = {"type": "STRING"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {}),
        ({"type": "string", "$id": "x", "examples": ["a"]}, STRING),
        ({"type": "STRING"}, STRING),
        (
            {"type": "object", "properties": {"type": {"type": "string"}}, "required": ["type"]},
            {"type": "OBJECT", "properties": {"type": STRING}, "required": ["type"]},
        ),
        ({"properties": {"a": {}}}, {"type": "OBJECT", "properties": {"a": {}}}),
        ({"type": "object", "additionalProperties": {"type": "string"}}, {"type": "OBJECT"}),
        ({"type": "array"}, {"type": "ARRAY", "items": {}}),
        ({"type": "array", "items": True}, {"type": "ARRAY", "items": {}}),
        ({"type": ["string", "null"]}, {**STRING, "nullable": True}),
        (
            {"type": ["string", "array"], "description": "d"},
            {"description": "d", "anyOf": [STRING, {"type": "ARRAY", "items": {}}]},
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
            {"type": "INTEGER", "description": "d. One of: 1, 2"},
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
        ({"$ref": "#/nowhere"}, {}),
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
        ({"type": "number", "minimum": 0, "exclusiveMaximum": 2}, {"type": "NUMBER", "minimum": 0}),
    ],
)
def test_a_schema(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert build_schema(given) == expected
    check_schema(expected)
    Schema.model_validate(expected)


_TYPES = st.sampled_from(["string", "integer", "object", "array", "null", "boolean", "other"])
_SCHEMAS = st.recursive(
    st.fixed_dictionaries(
        {},
        optional={
            "type": _TYPES | st.lists(_TYPES, max_size=3),
            "enum": st.lists(st.sampled_from(["a", 1, None]), max_size=2),
            "$ref": st.sampled_from(["#", "#/properties/a", "#/$defs/b", "other.json"]),
        },
    ),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "type": _TYPES,
            "properties": st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
            "$defs": st.dictionaries(st.just("b"), inner),
            "required": st.lists(st.sampled_from("abc"), max_size=3),
            "items": inner,
            "anyOf": st.lists(inner, max_size=2),
            "oneOf": st.lists(inner, max_size=2),
            "allOf": st.lists(inner, max_size=2),
        },
    ),
    max_leaves=6,
)


@given(schema=_SCHEMAS)
def test_every_schema_becomes_one_of_the_dialect(schema: dict[str, Any]) -> None:
    check_schema(build_schema(schema))


def test_references_that_multiply_are_bounded() -> None:
    definitions = {
        str(level): {"properties": {name: {"$ref": f"#/$defs/{level + 1}"} for name in "abcd"}}
        for level in range(30)
    }
    with pytest.raises(SchemaTooLarge):
        build_schema({"$ref": "#/$defs/0", "$defs": definitions})
