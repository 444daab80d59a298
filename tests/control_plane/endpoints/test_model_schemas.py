import json
from typing import Any

import pytest
from modelserving.store.v1.hosting_pb2 import ModelDescription

from modelplane.control_plane.endpoints.model_schemas import request_schema, response_schema

COLUMNS = [
    {"type": "double", "name": "sepal length (cm)", "required": True},
    {"type": "long", "name": "n", "required": False},
]
TENSOR = {"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 4]}}
PARAMS = [
    {"name": "k", "default": 0.5, "shape": None, "type": "double"},
    {"name": "s", "default": "x", "shape": None, "type": "string"},
    {"name": "l", "default": [1, 2], "shape": [-1], "type": "long"},
    {"name": "u", "default": None, "shape": None, "type": "strange"},
]
DOUBLE = {"type": "number", "format": "double"}
LONG = {"type": "integer", "format": "int64"}


def described(inputs: object = (), outputs: object = (), params: object = ()) -> ModelDescription:
    texts = [json.dumps(value) for value in (inputs, outputs, params)]
    return ModelDescription(inputs=texts[0], outputs=texts[1], params=texts[2])


def forms(model: ModelDescription) -> list[Any]:
    found: Any = request_schema(model)["oneOf"]
    return list(found)


def test_columns_are_described_in_both_orders() -> None:
    split, records = forms(described(inputs=COLUMNS))
    parts = split["properties"]["dataframe_split"]["properties"]
    assert parts["columns"]["items"]["enum"] == ["sepal length (cm)", "n"]
    assert parts["data"]["items"]["prefixItems"] == [DOUBLE, LONG]
    row = records["properties"]["dataframe_records"]["items"]
    assert row["properties"] == {"sepal length (cm)": DOUBLE, "n": LONG}
    assert row["required"] == ["sepal length (cm)"]


def test_parameters_have_their_defaults_as_text() -> None:
    for form in forms(described(inputs=COLUMNS, params=PARAMS)):
        assert form["properties"]["params"]["properties"] == {
            "k": {**DOUBLE, "default": "0.5"},
            "s": {"type": "string", "default": "x"},
            "l": {"type": "array", "items": LONG, "default": "[1,2]"},
            "u": {"type": "object", "format": "unknown"},
        }


def test_tensors_are_nested_lists() -> None:
    number = {"type": "number", "format": "float32"}
    nested = {"type": "array", "items": {"type": "array", "items": number}}
    model = described(inputs=[TENSOR], outputs=[TENSOR])
    assert request_schema(model) == {
        "type": "object",
        "properties": {"inputs": nested},
        "required": ["inputs"],
    }
    assert response_schema(model) == {"type": "object", "properties": {"predictions": nested}}


@pytest.mark.parametrize(
    ("kind", "schema"),
    [
        ({"type": "array", "items": {"type": "long"}}, {"type": "array", "items": LONG}),
        (
            {"type": "map", "values": {"type": "string"}},
            {"type": "object", "additionalProperties": {"type": "string"}},
        ),
        (
            {"type": "object", "properties": {"a": {"type": "double"}}},
            {"type": "object", "properties": {"a": DOUBLE}},
        ),
        ({"type": "any"}, {"type": "object", "format": "unknown"}),
    ],
)
def test_types_that_hold_others(kind: dict[str, object], schema: object) -> None:
    model = described(outputs=[kind])
    assert response_schema(model)["properties"] == {
        "predictions": {"type": "array", "items": schema}
    }


@pytest.mark.parametrize("inputs", ["", "no JSON", "{}", "[1]", '[{"type": "array"}]'])
def test_without_a_signature_everything_is_open(inputs: str) -> None:
    assert request_schema(ModelDescription(inputs=inputs))
    assert response_schema(ModelDescription(outputs=inputs))


def test_a_signature_that_is_nested_without_end_is_cut_off() -> None:
    kind: dict[str, object] = {"type": "long"}
    for _ in range(40):
        kind = {"type": "array", "items": kind}
    assert "unknown" in json.dumps(response_schema(described(outputs=[kind])))


def test_agents_take_and_give_whole_objects_too() -> None:
    text = {"type": "string", "required": True}
    item = {"type": "object", "properties": {"role": text, "content": text}}
    inputs = [
        {"type": "array", "items": item, "name": "messages", "required": True},
        {"type": "double", "name": "temperature", "required": False},
    ]
    outputs = [{"type": "string", "name": "id", "required": True}]
    model = described(inputs=inputs, outputs=outputs, params=PARAMS[:1])
    whole, split, records = forms(model)
    assert list(whole["properties"]) == ["messages", "temperature", "k"]
    assert whole["required"] == ["messages"]
    assert [next(iter(form["properties"])) for form in (split, records)] == [
        "dataframe_split",
        "dataframe_records",
    ]
    answers: Any = response_schema(model)["anyOf"]
    assert list(answers[0]["properties"]) == ["id"]
    assert list(answers[1]["properties"]) == ["predictions"]
    # Nothing is known of the answers.
    assert response_schema(described(inputs=inputs)) == {}
