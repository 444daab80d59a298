"""What the messages of a chat may hold, and in which order; `schema` uses `check_messages`."""

from collections.abc import Mapping

from tests.emulators.openai.checks import (
    Check,
    anything,
    array,
    choice,
    either,
    mapping,
    missing,
    nullable,
    string,
    wrong_type,
)
from tests.emulators.openai.errors import ApiError, Json

_TEXT_PART = mapping({"type": anything, "text": string}, ["text"])
_IMAGE = mapping({"url": string, "detail": choice("auto", "low", "high")}, ["url"])
_PARTS: dict[str, Check] = {
    "text": _TEXT_PART,
    "refusal": mapping({"type": anything, "refusal": string}, ["refusal"]),
    "image_url": mapping({"type": anything, "image_url": _IMAGE}, ["image_url"]),
}
_CALL = mapping(
    {
        "id": string,
        "type": choice("function"),
        "function": mapping({"name": string, "arguments": string}, ["name", "arguments"]),
    },
    ["id", "type", "function"],
)


def _part(path: str, value: object) -> None:
    if not isinstance(value, dict):
        raise wrong_type(path, "an object", value)
    choice(*_PARTS)(f"{path}.type", value.get("type"))
    _PARTS[value["type"]](path, value)


_CONTENT = either({str: string, list: array(_part, 1)}, "a string or an array of objects")
_BASE: dict[str, Check] = {"role": anything, "name": string}
_BY_ROLE: dict[str, Mapping[str, Check]] = {
    "system": _BASE | {"content": _CONTENT},
    "developer": _BASE | {"content": _CONTENT},
    "user": _BASE | {"content": _CONTENT},
    "assistant": _BASE
    | {
        "content": nullable(_CONTENT),
        "refusal": nullable(string),
        "tool_calls": nullable(array(_CALL, 1)),
        "audio": nullable(anything),
        "function_call": nullable(anything),
        "annotations": nullable(anything),
    },
    "tool": {"role": anything, "content": _CONTENT, "tool_call_id": string},
}


def _message(path: str, value: object) -> None:
    if not isinstance(value, dict):
        raise wrong_type(path, "an object", value)
    if "role" not in value:
        raise missing(f"{path}.role")
    choice(*_BY_ROLE)(f"{path}.role", value["role"])
    fields = _BY_ROLE[value["role"]]
    required = ["tool_call_id"] if value["role"] == "tool" else []
    if value["role"] != "assistant" or not value.get("tool_calls"):
        required.append("content")
    mapping(fields, required)(path, value)
    if value.get("content") is None and not value.get("tool_calls"):
        raise wrong_type(f"{path}.content", "a string", None)


def check_messages(path: str, value: object) -> None:
    """Refuse messages of a wrong shape, and tool calls without their answers.

    Raises:
        ApiError: What the real API would answer.
    """
    array(_message, 1)(path, value)
    if isinstance(value, list):
        _check_tool_answers(value)


def _check_tool_answers(messages: list[Json]) -> None:
    waiting: set[str] = set()
    for index, message in enumerate(messages):
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                raise ApiError(
                    "Invalid parameter: messages with role 'tool' must be a response to a "
                    "preceding message with 'tool_calls'.",
                    param=f"messages[{index}].role",
                )
            waiting.discard(message["tool_call_id"])
            continue
        _refuse_unanswered(waiting, index)
        waiting = {call["id"] for call in message.get("tool_calls") or []}
    _refuse_unanswered(waiting, len(messages))


def _refuse_unanswered(waiting: set[str], index: int) -> None:
    if waiting:
        raise ApiError(
            "An assistant message with 'tool_calls' must be followed by tool messages responding "
            f"to each 'tool_call_id'. These have no response: {', '.join(sorted(waiting))}",
            param=f"messages[{index}]",
        )
