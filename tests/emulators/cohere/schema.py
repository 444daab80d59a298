"""What a request to each of Cohere's routes may hold; `server` checks before it answers."""

from collections.abc import Mapping

from modelplane.adapters.providers.refusals import (
    COHERE_GENERATE_RANGES,
    COHERE_RANGES,
    COHERE_STOPS,
    COHERE_STRICT,
)
from modelplane.adapters.providers.schemas.rules import find_faults
from tests.emulators.emulator import Json, Refusal
from tests.emulators.openai.checks import (
    Check,
    anything,
    array,
    boolean,
    choice,
    either,
    integer,
    invalid,
    mapping,
    number,
    string,
)
from tests.emulators.openai.errors import ApiError

CHAT_MODELS = (
    "command-r",
    "command-r-plus",
    "command-a-03-2025",
    "command-a-vision-07-2025",
    "command-a-reasoning-08-2025",
)
GENERATE_MODELS = ("command", "command-light", "command-nightly", "command-light-nightly")
EMBED_DIMENSIONS = {
    "embed-english-v2.0": 4096,
    "embed-english-v3.0": 1024,
    "embed-multilingual-v3.0": 1024,
    "embed-english-light-v3.0": 384,
    "embed-v4.0": 1536,
}

_TEXT = mapping({"type": choice("text"), "text": string}, ["type", "text"])
_THINKING = mapping({"type": choice("thinking"), "thinking": string}, ["type", "thinking"])


def refuse(message: str, status: int = 400) -> Refusal:
    """Return a refusal in Cohere's shape."""
    return Refusal(status, {"id": "5f1c9a0e-emulated", "message": message})


def _typed(checks: Mapping[str, Check]) -> Check:
    """Choose the check of an object by its `type`."""

    def check(path: str, value: object) -> None:
        kind = value.get("type") if isinstance(value, dict) else None
        choice(*checks)(f"{path}.type", kind)
        checks[str(kind)](path, value)

    return check


def _image_url(path: str, value: object) -> None:
    string(path, value)
    if not str(value).startswith(("data:image/", "https://", "http://")):
        raise invalid(path, "not an image URL")


_IMAGE = mapping(
    {
        "type": choice("image_url"),
        "image_url": mapping({"url": _image_url, "detail": choice("auto", "low", "high")}, ["url"]),
    },
    ["type", "image_url"],
)
_DOCUMENT = mapping(
    {
        "type": choice("document"),
        "document": mapping(
            {"data": either({dict: anything}, "an object"), "id": string}, ["data"]
        ),
    },
    ["type", "document"],
)


def _content(*parts: tuple[str, Check]) -> Check:
    return either({str: string, list: array(_typed(dict(parts)), 1)}, "a string or an array")


_CALL = mapping(
    {
        "id": string,
        "type": choice("function"),
        "function": mapping({"name": string, "arguments": string}, ["name", "arguments"]),
    },
    ["id", "type", "function"],
)
_ROLES: dict[str, Check] = {
    "system": mapping({"role": string, "content": _content(("text", _TEXT))}, ["content"]),
    "user": mapping(
        {"role": string, "content": _content(("text", _TEXT), ("image_url", _IMAGE))}, ["content"]
    ),
    "assistant": mapping(
        {
            "role": string,
            "content": _content(("text", _TEXT), ("thinking", _THINKING)),
            "tool_calls": array(_CALL, 1),
            "tool_plan": string,
            "citations": anything,
        }
    ),
    "tool": mapping(
        {
            "role": string,
            "tool_call_id": string,
            "content": _content(("text", _TEXT), ("document", _DOCUMENT)),
        },
        ["tool_call_id", "content"],
    ),
}


def _message(path: str, value: object) -> None:
    role = value.get("role") if isinstance(value, dict) else None
    choice(*_ROLES)(f"{path}.role", role)
    _ROLES[str(role)](path, value)


_TOOL = mapping(
    {
        "type": choice("function"),
        "function": mapping(
            {
                "name": string,
                "description": string,
                "parameters": either({dict: anything}, "an object"),
            },
            ["name", "parameters"],
        ),
    },
    ["type", "function"],
)
_SAMPLING: dict[str, Check] = {
    "model": string,
    "stream": boolean,
    "max_tokens": integer(0),
    "seed": integer(0),
    "frequency_penalty": number(*COHERE_RANGES["frequency_penalty"]),
    "presence_penalty": number(*COHERE_RANGES["presence_penalty"]),
    "k": integer(0, 500),
    "p": number(*COHERE_RANGES["top_p"]),
}
_CHAT = _SAMPLING | {
    "messages": array(_message, 1),
    "tools": array(_TOOL, 1),
    "strict_tools": boolean,
    "documents": array(anything),
    "citation_options": anything,
    "response_format": _typed(
        {
            "text": mapping({"type": string}),
            "json_object": mapping(
                {"type": string, "json_schema": either({dict: anything}, "an object")}
            ),
        }
    ),
    "safety_mode": choice("CONTEXTUAL", "STRICT", "OFF"),
    "stop_sequences": array(string, 0, COHERE_STOPS),
    "temperature": number(*COHERE_RANGES["temperature"]),
    "logprobs": boolean,
    "tool_choice": choice("REQUIRED", "NONE"),
    "thinking": mapping(
        {"type": choice("enabled", "disabled"), "token_budget": integer(1)}, ["type"]
    ),
    "priority": integer(0, 999),
}
_GENERATE = _SAMPLING | {
    "prompt": string,
    "num_generations": integer(1, 5),
    "truncate": choice("NONE", "START", "END"),
    "temperature": number(*COHERE_GENERATE_RANGES["temperature"]),
    "preset": string,
    "end_sequences": array(string),
    "stop_sequences": array(string),
    "return_likelihoods": choice("GENERATION", "NONE"),
    "raw_prompting": boolean,
}
_EMBED: dict[str, Check] = {
    "model": string,
    "input_type": choice("search_document", "search_query", "classification", "clustering"),
    "texts": array(string, 1, 96),
    "max_tokens": integer(1),
    "output_dimension": integer(1),
    "embedding_types": array(choice("float", "int8", "base64"), 1),
    "truncate": choice("NONE", "START", "END"),
    "priority": integer(0, 999),
}


def check_chat(body: Json) -> None:
    """Refuse what the chat route does not take."""
    _check(body, _CHAT, ["model", "messages"])
    _require_model(body, CHAT_MODELS)
    if "tool_choice" in body and "tools" not in body:
        raise refuse("tool_choice may only be specified with tools.")
    if "tools" in body and body.get("response_format", {}).get("type") == "json_object":
        raise refuse("response_format is not supported with tools.")
    _check_schemas(body)
    if "reasoning" not in body["model"] and body.get("thinking", {}).get("type") == "enabled":
        raise refuse(f"thinking is not supported by model '{body['model']}'.")
    _check_history(body["messages"])
    images = any(
        part.get("type") == "image_url"
        for message in body["messages"]
        if isinstance(message.get("content"), list)
        for part in message["content"]
    )
    if images and "vision" not in body["model"]:
        raise refuse(f"image content is not supported by model '{body['model']}'.")


def _check_schemas(body: Json) -> None:
    schemas = [body.get("response_format", {}).get("json_schema")]
    if body.get("strict_tools"):
        given = [tool["function"]["parameters"] for tool in body.get("tools", [])]
        # A function without arguments is taken.
        schemas += [one for one in given if one != {"type": "object", "properties": {}}]
    for schema in filter(None, schemas):
        for fault in find_faults(schema, COHERE_STRICT):
            raise refuse(f"invalid request: schema{fault.path}: {fault.reason}")


def check_generate(body: Json) -> None:
    """Refuse what the generate route does not take."""
    _check(body, _GENERATE, ["prompt"])
    _require_model(body | {"model": body.get("model", "command")}, GENERATE_MODELS)
    if not body["prompt"]:
        raise refuse("invalid request: prompt must be at least 1 token long.")


def check_embed(body: Json) -> None:
    """Refuse what the embed route does not take."""
    _check(body, _EMBED, ["model", "texts", "input_type"])
    _require_model(body, tuple(EMBED_DIMENSIONS))
    if "output_dimension" in body and body["model"] != "embed-v4.0":
        raise refuse("output_dimension is only supported by embed-v4.0.")
    if "output_dimension" in body and body["output_dimension"] not in (256, 512, 1024, 1536):
        raise refuse("output_dimension must be one of 256, 512, 1024, 1536.")


def _check(body: Json, fields: Mapping[str, Check], required: list[str]) -> None:
    for name in required:
        if name not in body:
            raise refuse(f"invalid request: {name} is required.")
    for name, value in body.items():
        if name not in fields:
            raise refuse(f"unknown field: parameter '{name}' is not a valid field", 422)
        try:
            fields[name](name, value)
        except ApiError as error:
            raise refuse(f"invalid request: {error}") from error


def _require_model(body: Json, models: tuple[str, ...]) -> None:
    if body["model"] not in models:
        raise refuse(f"model '{body['model']}' not found, make sure the ID is correct.", 404)


def _check_history(messages: list[Json]) -> None:
    open_calls: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            if message["tool_call_id"] not in open_calls:
                raise refuse("invalid request: tool_call_id matches no tool call.")
            open_calls.remove(message["tool_call_id"])
            continue
        if open_calls:
            raise refuse("invalid request: every tool call must be followed by its result.")
        if message["role"] == "assistant":
            if not message.get("content") and not message.get("tool_calls"):
                raise refuse("invalid request: an assistant message needs content or tool calls.")
            open_calls = [call["id"] for call in message.get("tool_calls", [])]
    if messages[-1]["role"] not in ("user", "tool"):
        raise refuse("invalid request: the last message must be from a user or a tool.")
