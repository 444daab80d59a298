"""What the turns of a chat may hold, and in which order; `schema` uses `check_messages`."""

import base64
import binascii
import hashlib

from modelplane.adapters.providers.refusals import CLAUDE_CALL_IDS
from tests.emulators.anthropic.errors import refusal
from tests.emulators.emulator import Json
from tests.emulators.openai.checks import (
    Check,
    anything,
    array,
    boolean,
    choice,
    either,
    invalid,
    mapping,
    string,
    wrong_type,
)

_MEDIA_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")


def sign(thinking: str) -> str:
    """Return the signature of a thinking block."""
    return hashlib.sha256(f"signed {thinking}".encode()).hexdigest()


def _filled(path: str, value: object) -> None:
    string(path, value)
    if not str(value).strip():
        raise invalid(path, "text content blocks must contain non-whitespace text")


def _identifier(path: str, value: object) -> None:
    string(path, value)
    if not CLAUDE_CALL_IDS.take(str(value)):
        raise invalid(path, CLAUDE_CALL_IDS.source)


def _base64(path: str, value: object) -> None:
    string(path, value)
    try:
        base64.b64decode(str(value), validate=True)
    except binascii.Error as error:
        raise invalid(path, "invalid base64 data") from error


def _url(path: str, value: object) -> None:
    string(path, value)
    if not str(value).startswith("https://"):
        raise invalid(path, "Only HTTPS URLs are supported")


_CACHE = mapping({"type": choice("ephemeral"), "ttl": choice("5m", "1h")}, ["type"])
_SOURCES: dict[str, Check] = {
    "base64": mapping(
        {"type": anything, "media_type": choice(*_MEDIA_TYPES), "data": _base64},
        ["media_type", "data"],
    ),
    "url": mapping({"type": anything, "url": _url}, ["url"]),
}


def _union(by_type: dict[str, Check]) -> Check:
    def check(path: str, value: object) -> None:
        if not isinstance(value, dict):
            raise wrong_type(path, "an object", value)
        choice(*by_type)(f"{path}.type", value.get("type"))
        by_type[value["type"]](path, value)

    return check


TEXT = mapping({"type": anything, "text": _filled, "cache_control": _CACHE}, ["text"])
_IMAGE = mapping(
    {"type": anything, "source": _union(_SOURCES), "cache_control": _CACHE}, ["source"]
)
_RESULT_CONTENT = either(
    {str: string, list: array(_union({"text": TEXT, "image": _IMAGE}))}, "a string or an array"
)
_RESULT = mapping(
    {
        "type": anything,
        "tool_use_id": _identifier,
        "content": _RESULT_CONTENT,
        "is_error": boolean,
        "cache_control": _CACHE,
    },
    ["tool_use_id"],
)
_USE = mapping(
    {
        "type": anything,
        "id": _identifier,
        "name": string,
        "input": either({dict: anything}, "an object"),
        "cache_control": _CACHE,
    },
    ["id", "name", "input"],
)


def _thinking(path: str, value: object) -> None:
    fields = {"type": anything, "thinking": string, "signature": string}
    mapping(fields, ["thinking", "signature"])(path, value)
    if isinstance(value, dict) and value["signature"] != sign(value["thinking"]):
        raise invalid(path, "Invalid `signature` in `thinking` block")


_REDACTED = mapping({"type": anything, "data": string}, ["data"])
_USER = _union({"text": TEXT, "image": _IMAGE, "tool_result": _RESULT})
_ASSISTANT = _union(
    {"text": TEXT, "tool_use": _USE, "thinking": _thinking, "redacted_thinking": _REDACTED}
)
_BLOCKS = {"user": _USER, "assistant": _ASSISTANT, "system": _union({"text": TEXT})}


def _message(path: str, value: object) -> None:
    mapping(
        {"role": choice("user", "assistant", "system"), "content": anything}, ["role", "content"]
    )(path, value)
    if isinstance(value, dict):
        block = _BLOCKS[value["role"]]
        content = either({str: _filled, list: array(block, 1)}, "a string or an array")
        content(f"{path}.content", value["content"])


def blocks_of(message: Json) -> list[Json]:
    """Return the blocks of a message."""
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def check_messages(path: str, value: object) -> None:
    """Refuse messages of a wrong shape or order.

    Raises:
        ApiError, Refusal: What the real API would answer.
    """
    array(_message, 1)(path, value)
    if not isinstance(value, list):
        return
    _check_systems(value)
    turns = turns_of(value)
    for index, message in enumerate(turns):
        if message["role"] != ("assistant" if index % 2 else "user"):
            raise refusal(f"messages.{index}: roles must alternate, beginning with user")
    _check_results(turns)
    _check_ends(turns)


def turns_of(messages: list[Json]) -> list[Json]:
    """Return what user and assistant say, without instructions in between."""
    return [message for message in messages if message["role"] != "system"]


def _check_systems(messages: list[Json]) -> None:
    """Check where instructions are: behind a user's message, and before an assistant's or last."""
    for index, message in enumerate(messages):
        if message["role"] != "system":
            continue
        around = [messages[at]["role"] for at in (index - 1, index + 1) if at < len(messages)]
        if index == 0 or around[0] != "user" or around[1:] not in ([], ["assistant"]):
            raise refusal(
                f"messages.{index}: role 'system' must follow a user message, and be the last one "
                "or be followed by an assistant message"
            )


def _check_ends(messages: list[Json]) -> None:
    for index, message in enumerate(messages):
        last = blocks_of(message)[-1]
        if message["role"] == "assistant" and last["type"] in ("thinking", "redacted_thinking"):
            raise refusal(
                f"messages.{index}: The final block in an assistant message cannot be `thinking`."
            )
    said = last.get("text", "")
    if messages[-1]["role"] == "assistant" and said != said.rstrip():
        raise refusal("messages: final assistant content cannot end with trailing whitespace")


def _check_results(messages: list[Json]) -> None:
    waiting: list[str] = []
    used: set[str] = set()
    for index, message in enumerate(messages):
        blocks = blocks_of(message)
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        first = [block["type"] for block in blocks[: len(results)]]
        if sorted(results) != sorted(waiting) or set(first) - {"tool_result"}:
            raise refusal(
                f"messages.{index}: each `tool_use` block must have one `tool_result` block at "
                "the beginning of the next message"
            )
        waiting = [block["id"] for block in blocks if block["type"] == "tool_use"]
        if used & set(waiting) or len(set(waiting)) < len(waiting):
            raise refusal(f"messages.{index}: `tool_use` ids must be unique")
        used |= set(waiting)
    if waiting:
        raise refusal("`tool_use` ids were found without `tool_result` blocks")
