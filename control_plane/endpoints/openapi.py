"""The OpenAPI 3.1 description of how to query an endpoint.

Before: `servicer`. After: `model_schemas`, `store.endpoints.records` (what is described).
"""

from collections.abc import Mapping

import orjson

from modelplane.adapters.shared.tasks import PATHS
from modelplane.control_plane.endpoints.model_schemas import request_schema, response_schema
from modelplane.control_plane.endpoints.tasks import task_of
from modelplane.control_plane.errors import InvalidParameter
from modelplane.control_plane.store.endpoints.records import StoredEndpoint, StoredVersion

Schema = Mapping[str, object]

_STRING: Schema = {"type": "string"}
_INTEGER: Schema = {"type": "integer"}
_NUMBER: Schema = {"type": "number"}
_STRINGS: Schema = {"oneOf": [_STRING, {"type": "array", "items": _STRING}]}
_SAMPLING: Schema = {
    "max_tokens": {"type": "integer", "minimum": 1},
    "temperature": {"type": "number", "minimum": 0, "maximum": 2},
    "top_p": {"type": "number", "minimum": 0, "maximum": 1},
    "n": {"type": "integer", "minimum": 1},
    "stop": _STRINGS,
    "stream": {"type": "boolean"},
}


def _object(properties: Schema, *required: str) -> Schema:
    # Parameters that are not listed pass to the provider.
    return {"type": "object", "properties": properties, "required": list(required)}


def _array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


_USAGE = _object(
    {"prompt_tokens": _INTEGER, "completion_tokens": _INTEGER, "total_tokens": _INTEGER}
)
_MESSAGE = _object({"role": _STRING, "content": {}}, "role")
_CHAT_CHOICE = _object({"index": _INTEGER, "message": _MESSAGE, "finish_reason": {}})
_TEXT_CHOICE = _object({"index": _INTEGER, "text": _STRING, "finish_reason": {}})
_EMBEDDING = _object(
    {"index": _INTEGER, "embedding": {"oneOf": [_array(_NUMBER), _STRING]}, "object": _STRING}
)

# Request and response of each task.
SCHEMAS: Mapping[str, tuple[Schema, Schema]] = {
    "llm/v1/chat": (
        _object(
            {"messages": {**_array(_MESSAGE), "minItems": 1}, "tools": _array({}), **_SAMPLING},
            "messages",
        ),
        _object(
            {"id": _STRING, "model": _STRING, "choices": _array(_CHAT_CHOICE), "usage": _USAGE}
        ),
    ),
    "llm/v1/completions": (
        _object({"prompt": _STRINGS, **_SAMPLING}, "prompt"),
        _object(
            {"id": _STRING, "model": _STRING, "choices": _array(_TEXT_CHOICE), "usage": _USAGE}
        ),
    ),
    "llm/v1/embeddings": (
        _object({"input": _STRINGS, "dimensions": _INTEGER, "encoding_format": _STRING}, "input"),
        _object({"model": _STRING, "data": _array(_EMBEDDING), "usage": _USAGE}),
    ),
}
if SCHEMAS.keys() != PATHS.keys():
    raise RuntimeError(f"tasks and schemas differ: {', '.join(SCHEMAS.keys() ^ PATHS.keys())}")


def build_openapi(record: StoredEndpoint) -> bytes:
    """Return the description as JSON.

    Raises:
        InvalidParameter: The endpoint serves nothing that could be described yet.
    """
    if record.active is None or not record.ready:
        raise InvalidParameter(
            f"Endpoint '{record.name}' is not ready, so its schema is not known; wait until "
            "state.ready is READY."
        )
    return orjson.dumps(_build_document(record.name, record.active))


def _build_document(name: str, active: StoredVersion) -> Schema:
    return {
        "openapi": "3.1.0",
        "info": {"title": name, "version": str(active.version)},
        "servers": [{"url": f"/serving-endpoints/{name}"}],
        "security": [{"bearer": []}],
        "paths": _build_paths(active),
        "components": {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}},
    }


def _build_paths(active: StoredVersion) -> Schema:
    if active.hosted:
        # Each may have a signature of its own.
        return {
            f"/served-models/{model.served_entity_name}/invocations": _build_operation(
                request_schema(model.description), response_schema(model.description)
            )
            for model in active.hosted
        }
    operation = _build_operation(*SCHEMAS[task_of(active) or ""])
    entities = [entity.name for entity in active.config.served_entities]
    return {"/invocations": operation} | {
        f"/served-models/{entity}/invocations": operation for entity in entities
    }


def _build_operation(request: Schema, response: Schema) -> Schema:
    return {
        "post": {
            "requestBody": {"required": True, "content": _json(request)},
            "responses": {
                "200": {"description": "The model's answer", "content": _json(response)},
                "default": {
                    "description": "A refusal",
                    "content": _json(_object({"error_code": _STRING, "message": _STRING})),
                },
            },
        }
    }


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}
