"""Reads a request of the Messages API into a canonical chat; pure.

API: https://docs.anthropic.com/en/api/messages. What has no counterpart in a chat is refused by
name where the answer would be another without it, and else left out and told.

- Results of tools come in a user's message there, and are messages of their own here.
- Thinking goes on as `thinking_blocks`, which hosts of Claude take back.
"""

from collections.abc import Iterator, Mapping, Sequence

from modelplane.adapters.providers.canonical.answers import build_tool_call
from modelplane.adapters.providers.types import JsonObject
from modelplane.data_plane.errors import InvalidParameter
from modelplane.data_plane.protocols.anthropic.tools import read_choice, read_tools
from modelplane.data_plane.protocols.base import Losses, encode
from modelplane.data_plane.protocols.reading import refuse_unknown, start_chat

_RENAMED: Mapping[str, str] = {
    "model": "model",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "stream": "stream",
    "stop_sequences": "stop",
    "client_request_id": "client_request_id",
    "usage_context": "usage_context",
}
# Of no effect on the answer.
_SILENT = ("service_tier", "inference_geo", "cache_control")
_READ = frozenset(
    {
        *_RENAMED,
        *_SILENT,
        "metadata",
        "messages",
        "system",
        "max_tokens",
        "thinking",
        "tools",
        "tool_choice",
        "output_config",
        "context_management",
    }
)
# Tokens that a model may think, as the effort that comes nearest: the reverse of what
# `adapters/providers/anthropic/parameters.py` does.
_EFFORTS = ((2048, "low"), (8192, "medium"))
_EFFORT_NAMES: Mapping[str, str] = {
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "xhigh",
    "max": "xhigh",
}
_THINKING = ("thinking", "redacted_thinking")
_NO_RESULT = ""


def read_request(body: JsonObject, losses: Losses) -> JsonObject:
    """Return the canonical chat that a request asks for.

    Args:
        body: The request's body.
        losses: Told of what is left out.

    Raises:
        InvalidParameter: It is no request, or asks for what a chat cannot express.
    """
    refuse_unknown(body, _READ)
    chat = start_chat(body, _RENAMED)
    chat["messages"] = [
        *_read_system(body.get("system"), losses),
        *_read_messages(body, losses),
    ]
    chat["max_completion_tokens"] = _read_max_tokens(body.get("max_tokens"))
    if body.get("context_management"):
        losses.note("context_management=dropped")
    _read_user_id(body.get("metadata"), chat)
    _read_tools(body, chat, losses)
    _read_thinking(body, chat, losses)
    _read_output(body.get("output_config"), chat)
    return chat


def _read_user_id(metadata: object, chat: JsonObject) -> None:
    if isinstance(metadata, dict) and isinstance(metadata.get("user_id"), str):
        chat["user"] = metadata["user_id"]


def _read_max_tokens(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidParameter("'max_tokens' must be a whole number of at least 1.")
    return value


def _read_tools(body: JsonObject, chat: JsonObject, losses: Losses) -> None:
    if tools := body.get("tools"):
        chat["tools"] = read_tools(tools, losses)
        chat |= read_choice(body.get("tool_choice"))


def _read_thinking(body: JsonObject, chat: JsonObject, losses: Losses) -> None:
    thinking = body.get("thinking")
    if thinking is None:
        return
    kind = thinking.get("type") if isinstance(thinking, dict) else None
    if kind == "disabled":
        return
    if kind == "adaptive":
        chat["reasoning_effort"] = "high"
    elif kind == "enabled" and isinstance(thinking, dict):
        budget = thinking.get("budget_tokens")
        if not isinstance(budget, int):
            raise InvalidParameter("'thinking.budget_tokens' must be a whole number.")
        effort = next((name for most, name in _EFFORTS if budget <= most), "high")
        chat["reasoning_effort"] = effort
        losses.note(f"thinking=reasoning_effort {effort}")
    else:
        raise InvalidParameter("'thinking.type' must be enabled, adaptive or disabled.")


def _read_output(config: object, chat: JsonObject) -> None:
    """Read how hard to think, and the schema that the answer has to follow."""
    if config is None:
        return
    if not isinstance(config, dict):
        raise InvalidParameter("'output_config' must be an object.")
    effort = config.get("effort")
    if effort is not None:
        if not isinstance(effort, str) or effort not in _EFFORT_NAMES:
            raise InvalidParameter("'output_config.effort' must be low, medium, high or max.")
        chat["reasoning_effort"] = _EFFORT_NAMES[effort]
    form = config.get("format")
    if form is None:
        return
    if not isinstance(form, dict) or form.get("type") != "json_schema":
        raise InvalidParameter("'output_config.format.type' must be json_schema.")
    chat["response_format"] = {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": form.get("schema"), "strict": True},
    }


def _read_system(system: object, losses: Losses) -> Iterator[JsonObject]:
    if system is None or system in ("", []):
        return
    if isinstance(system, str):
        yield {"role": "system", "content": system}
        return
    if not isinstance(system, list):
        raise InvalidParameter("'system' must be a text or a list of texts.")
    texts = [_read_text(block, "system", losses) for block in system]
    yield {"role": "system", "content": [{"type": "text", "text": text} for text in texts]}


def _read_text(block: object, where: str, losses: Losses) -> str:
    if not isinstance(block, dict) or block.get("type") != "text":
        raise InvalidParameter(f"Each block of '{where}' must be of type text.")
    text = block.get("text")
    if not isinstance(text, str):
        raise InvalidParameter(f"A block of type text in '{where}' must have a 'text'.")
    _note_extras(block, losses)
    return text


def _note_extras(block: JsonObject, losses: Losses) -> None:
    if block.get("cache_control"):
        losses.note("cache_control=dropped")
    if block.get("citations"):
        losses.note("citations=dropped")


def _read_messages(body: JsonObject, losses: Losses) -> Iterator[JsonObject]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidParameter("'messages' must be a list with at least one message.")
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        if not isinstance(message, dict):
            raise InvalidParameter(f"{where} must be an object.")
        role, content = message.get("role"), message.get("content")
        if role not in ("user", "assistant", "system"):
            raise InvalidParameter(f"{where}.role must be user or assistant.")
        if isinstance(content, str):
            yield {"role": role, "content": content}
            continue
        if not isinstance(content, list) or not all(isinstance(item, dict) for item in content):
            raise InvalidParameter(f"{where}.content must be a text or a list of blocks.")
        read = _read_assistant if role == "assistant" else _read_user
        yield from (
            read(content, where, losses) if role != "system" else _read_system(content, losses)
        )


def _read_user(blocks: Sequence[JsonObject], where: str, losses: Losses) -> Iterator[JsonObject]:
    """Return the results of tools in a message of the user's, then what else it says."""
    parts: list[JsonObject] = []
    for block in blocks:
        if block.get("type") == "tool_result":
            text, images = _read_result(block, where, losses)
            yield {"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": text}
            parts += images
        else:
            parts.append(_read_part(block, where, losses))
    if parts:
        yield {"role": "user", "content": parts}


def _read_result(block: JsonObject, where: str, losses: Losses) -> tuple[str, list[JsonObject]]:
    """Return the text of a tool's result, and its images, which no result of a chat can have."""
    if not isinstance(block.get("tool_use_id"), str):
        raise InvalidParameter(f"A block of type tool_result in {where} needs a 'tool_use_id'.")
    _note_extras(block, losses)
    content = block.get("content")
    if content is None or isinstance(content, str):
        return content or _NO_RESULT, []
    if not isinstance(content, list):
        raise InvalidParameter(f"The content of a tool_result in {where} must be text or blocks.")
    images = [_read_part(item, where, losses) for item in content if _is(item, "image")]
    if images:
        losses.note("tool_result images=moved behind the result")
    rest = [item for item in content if not _is(item, "image")]
    return "\n".join(_read_text(item, where, losses) for item in rest), images


def _is(block: object, kind: str) -> bool:
    return isinstance(block, dict) and block.get("type") == kind


def _read_image(block: JsonObject, where: str, losses: Losses) -> JsonObject:
    _note_extras(block, losses)
    source = block.get("source")
    kind = source.get("type") if isinstance(source, dict) else None
    if isinstance(source, dict) and kind == "base64":
        url = f"data:{source.get('media_type')};base64,{source.get('data')}"
    elif isinstance(source, dict) and kind == "url" and isinstance(source.get("url"), str):
        url = str(source["url"])
    else:
        raise InvalidParameter(f"The source of an image in {where} must be base64 or url.")
    return {"type": "image_url", "image_url": {"url": url}}


def _read_part(block: JsonObject, where: str, losses: Losses) -> JsonObject:
    kind = block.get("type")
    if kind == "text":
        return {"type": "text", "text": _read_text(block, where, losses)}
    if kind == "image":
        return _read_image(block, where, losses)
    raise InvalidParameter(
        f"{where} has a block of type '{kind}', which cannot be expressed for this endpoint."
    )


def _read_assistant(
    blocks: Sequence[JsonObject], where: str, losses: Losses
) -> Iterator[JsonObject]:
    said: list[JsonObject] = []
    calls: list[JsonObject] = []
    thought: list[JsonObject] = []
    for block in blocks:
        kind = block.get("type")
        if kind == "tool_use":
            calls.append(_read_call(block, where, losses))
        elif kind in _THINKING:
            thought.append(block)
        else:
            said.append(_read_part(block, where, losses))
    message: JsonObject = {"role": "assistant", "content": said or None}
    if thought:
        message["thinking_blocks"] = thought
    if calls:
        message["tool_calls"] = calls
    yield message


def _read_call(block: JsonObject, where: str, losses: Losses) -> JsonObject:
    _note_extras(block, losses)
    call_id, name = block.get("id"), block.get("name")
    if not isinstance(call_id, str) or not isinstance(name, str):
        raise InvalidParameter(f"A block of type tool_use in {where} needs an 'id' and a 'name'.")
    return build_tool_call(call_id, name, encode(block.get("input") or {}).decode())
