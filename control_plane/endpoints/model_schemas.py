"""From the signature of a hosted model to the JSON Schema of its queries and answers.

The form is the mirrored service's: columns by name in `enum`, their types in `prefixItems`, and
defaults as text. Before: `openapi`.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import orjson
from modelserving.store.v1.hosting_pb2 import ModelDescription

Schema = Mapping[str, object]

_UNKNOWN: Schema = {"type": "object", "format": "unknown"}
_TYPES: Mapping[str, Schema] = MappingProxyType(
    {
        "boolean": {"type": "boolean"},
        "integer": {"type": "integer", "format": "int32"},
        "long": {"type": "integer", "format": "int64"},
        "float": {"type": "number", "format": "float"},
        "double": {"type": "number", "format": "double"},
        "string": {"type": "string"},
        "binary": {"type": "string", "format": "byte"},
        "datetime": {"type": "string", "format": "date-time"},
    }
)
# Whoever sends one of them sends a whole object, and gets one: not a table of such.
_WHOLE = {"messages", "prompt", "input"}
_NUMBERS = ("int", "uint", "float")
# Deeper than what anyone writes; signatures come from outside.
_MAX_DEPTH = 16


def request_schema(model: ModelDescription) -> Schema:
    """Return the schema of queries; whatever a signature does not say is left open."""
    inputs, params = _parse(model.inputs), _parse(model.params)
    forms: list[dict[str, object]] = []
    if all(_is_column(item) for item in inputs):
        forms += [_split(inputs), _records(inputs)] if inputs else [_one_of_any()]
    else:
        forms.append(_form("inputs", _tensors(inputs)))
    if params:
        for form in forms:
            form["properties"] = {**_properties(form), "params": _params(params)}
    if _takes_whole(inputs):
        row = _row(inputs)
        given = {**_properties(row), **_properties(_params(params))}
        forms.insert(0, {**row, "properties": given})
    return forms[0] if len(forms) == 1 else {"oneOf": forms}


def response_schema(model: ModelDescription) -> Schema:
    """Return the schema of answers."""
    outputs = _parse(model.outputs)
    item: Schema = {}
    if len(outputs) == 1 and not outputs[0].get("name"):
        item = _type_of(outputs[0], 0)
    elif outputs:
        item = _row(outputs)
    is_tensor = any(not _is_column(output) for output in outputs)
    predictions: Schema = item if is_tensor else {"type": "array", "items": item}
    table: Schema = {"type": "object", "properties": {"predictions": predictions}}
    if not _takes_whole(_parse(model.inputs)):
        return table
    return {"anyOf": [item, table]} if item else item


def _parse(text: str) -> list[dict[str, Any]]:
    try:
        parsed = orjson.loads(text) if text else []
    except orjson.JSONDecodeError:
        return []
    listed = parsed if isinstance(parsed, list) else []
    return [item for item in listed if isinstance(item, dict)]


def _takes_whole(inputs: Sequence[Mapping[str, Any]]) -> bool:
    return any(item.get("name") in _WHOLE for item in inputs)


def _is_column(item: Mapping[str, Any]) -> bool:
    return item.get("type") != "tensor"


def _form(name: str, schema: Schema) -> dict[str, object]:
    return {"type": "object", "properties": {name: schema}, "required": [name]}


def _properties(form: Mapping[str, Any]) -> Mapping[str, object]:
    properties: Mapping[str, object] = form["properties"]
    return properties


def _one_of_any() -> dict[str, object]:
    names = ("dataframe_split", "dataframe_records", "instances", "inputs")
    return {"type": "object", "properties": {name: {} for name in names}}


def _split(columns: Sequence[Mapping[str, Any]]) -> dict[str, object]:
    row = {"type": "array", "prefixItems": [_type_of(column, 0) for column in columns]}
    names = [str(column["name"]) for column in columns if "name" in column]
    parts: dict[str, object] = {"data": {"type": "array", "items": row}}
    if names:
        parts["columns"] = {"type": "array", "items": {"type": "string", "enum": names}}
    parts["index"] = {"type": "array", "items": {"type": "integer"}}
    return _form("dataframe_split", {"type": "object", "properties": parts, "required": ["data"]})


def _records(columns: Sequence[Mapping[str, Any]]) -> dict[str, object]:
    return _form("dataframe_records", {"type": "array", "items": _row(columns)})


def _row(columns: Sequence[Mapping[str, Any]]) -> Schema:
    named = {str(column.get("name", place)): column for place, column in enumerate(columns)}
    return {
        "type": "object",
        "properties": {name: _type_of(column, 0) for name, column in named.items()},
        "required": [name for name, column in named.items() if column.get("required", True)],
    }


def _tensors(tensors: Sequence[Mapping[str, Any]]) -> Schema:
    if len(tensors) == 1 and not tensors[0].get("name"):
        return _type_of(tensors[0], 0)
    return _row(tensors)


def _params(params: Sequence[Mapping[str, Any]]) -> Schema:
    return {
        "type": "object",
        "properties": {str(item.get("name")): _param(item) for item in params},
    }


def _param(item: Mapping[str, Any]) -> Schema:
    schema = _type_of(item, 0)
    if item.get("shape"):
        schema = {"type": "array", "items": schema}
    if item.get("default") is None:
        return schema
    default = item["default"]
    # Clients in Go read a default as text, whatever its type is.
    text = default if isinstance(default, str) else orjson.dumps(default).decode()
    return {**schema, "default": text}


def _type_of(item: Mapping[str, Any], depth: int) -> Schema:
    kind = item.get("type")
    if depth > _MAX_DEPTH:
        return _UNKNOWN
    match kind, item:
        case "tensor", {"tensor-spec": {"dtype": str(dtype), "shape": [*shape]}}:
            return _tensor(dtype, len(shape))
        case "array", {"items": dict(inner)}:
            return {"type": "array", "items": _type_of(inner, depth + 1)}
        case "map", {"values": dict(inner)}:
            return {"type": "object", "additionalProperties": _type_of(inner, depth + 1)}
        case "object", {"properties": dict(properties)}:
            inner_types = {
                str(name): _type_of(value, depth + 1)
                for name, value in properties.items()
                if isinstance(value, dict)
            }
            return {"type": "object", "properties": inner_types}
    return _TYPES.get(str(kind), _UNKNOWN)


def _tensor(dtype: str, rank: int) -> Schema:
    schema: Schema = _UNKNOWN
    if dtype.startswith(_NUMBERS):
        schema = {"type": "number" if dtype.startswith("float") else "integer", "format": dtype}
    elif dtype == "bool":
        schema = {"type": "boolean"}
    elif dtype in ("str", "object"):
        schema = {"type": "string"} if dtype == "str" else _UNKNOWN
    for _ in range(min(rank, _MAX_DEPTH)):
        schema = {"type": "array", "items": schema}
    return schema
