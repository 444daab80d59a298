"""What a request to each of AI21's routes may hold; `server` checks before it answers."""

from collections.abc import Mapping

from modelplane.adapters.providers.refusals import J2_RANGES, JAMBA_RANGES
from tests.emulators.emulator import Json, Refusal
from tests.emulators.openai.checks import (
    Check,
    anything,
    array,
    boolean,
    choice,
    either,
    integer,
    mapping,
    number,
    string,
)
from tests.emulators.openai.errors import ApiError

CHAT_MODELS = ("jamba-mini", "jamba-large", "jamba-instruct", "jamba-1.5-mini")
COMPLETE_MODELS = ("j2-mid", "j2-light", "j2-ultra")

_CALL = mapping(
    {
        "id": string,
        "type": choice("function"),
        "function": mapping({"name": string, "arguments": string}, ["name", "arguments"]),
    },
    ["id", "function"],
)


_ROLES: dict[str, Check] = {
    "system": mapping({"role": string, "content": string}, ["content"]),
    "user": mapping({"role": string, "content": string}, ["content"]),
    "assistant": mapping(
        {
            "role": string,
            "content": either({str: string, type(None): anything}, "a string"),
            "tool_calls": array(_CALL, 1),
        }
    ),
    "tool": mapping(
        {"role": string, "content": string, "tool_call_id": string}, ["content", "tool_call_id"]
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
            ["name"],
        ),
    },
    ["type", "function"],
)
_STOP = either({str: string, list: array(string)}, "a string or an array of strings")
_CHAT: dict[str, Check] = {
    "model": string,
    "messages": array(_message, 1),
    "tools": array(_TOOL, 1),
    "documents": array(anything),
    "response_format": mapping({"type": choice("text", "json_object")}, ["type"]),
    "max_tokens": integer(0, 4096),
    "temperature": number(*JAMBA_RANGES["temperature"]),
    "top_p": number(*JAMBA_RANGES["top_p"]),
    "stop": _STOP,
    "n": integer(1, 16),
    "stream": boolean,
    "mock_response": anything,
}
_PENALTY = mapping(
    {
        "scale": number(-2, 500),
        "applyToWhitespaces": boolean,
        "applyToPunctuations": boolean,
        "applyToNumbers": boolean,
        "applyToStopwords": boolean,
        "applyToEmojis": boolean,
    },
    ["scale"],
)
_COMPLETE: dict[str, Check] = {
    "prompt": string,
    "numResults": integer(1, 16),
    "maxTokens": integer(0, 8191),
    "minTokens": integer(0),
    "temperature": number(*J2_RANGES["temperature"]),
    "topP": number(0, 1),
    "topKReturn": integer(0, 64),
    "stopSequences": array(string),
    "frequencyPenalty": _PENALTY,
    "presencePenalty": _PENALTY,
    "countPenalty": _PENALTY,
    "logitBias": either({dict: anything}, "an object"),
}


def refuse(message: str, status: int = 400) -> Refusal:
    """Return a refusal whose detail is a text."""
    return Refusal(status, {"detail": message})


def refuse_field(name: str, message: str) -> Refusal:
    """Return a refusal whose detail lists what is wrong where."""
    item = {"loc": ["body", name], "msg": message, "type": "value_error"}
    return Refusal(422, {"detail": [item]})


def check_chat(body: Json) -> None:
    """Refuse what the chat route does not take."""
    _check(body, _CHAT, ["model", "messages"])
    if body["model"] not in CHAT_MODELS:
        raise refuse(f"Model {body['model']} not found", 404)
    if body.get("stream") and body.get("n", 1) > 1:
        raise refuse_field("n", "n must be 1 in a stream")
    known: set[str] = set()
    for message in body["messages"]:
        known.update(call["id"] for call in message.get("tool_calls", []))
        if message["role"] == "tool" and message["tool_call_id"] not in known:
            raise refuse_field("messages", "tool_call_id matches no tool call")


def check_complete(model: str, body: Json) -> None:
    """Refuse what the complete route does not take."""
    if model not in COMPLETE_MODELS:
        raise refuse(f"Model {model} not found", 404)
    _check(body, _COMPLETE, ["prompt"])
    if not body["prompt"]:
        raise refuse_field("prompt", "ensure this value has at least 1 characters")


def _check(body: Json, fields: Mapping[str, Check], required: list[str]) -> None:
    for name in required:
        if name not in body:
            raise refuse_field(name, "field required")
    for name, value in body.items():
        if name not in fields:
            raise refuse_field(name, "extra fields not permitted")
        try:
            fields[name](name, value)
        except ApiError as error:
            raise refuse_field(name, str(error)) from error
