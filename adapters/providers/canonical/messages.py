"""Reads canonical messages for adapters whose provider speaks another format than OpenAI's.

A caller may send any JSON, so nothing here trusts a type: what cannot be read is refused with a
text that says what to change. `history.py` brings messages into the order that providers demand,
`parameters.py` has what else a request holds, `answers.py` builds what goes the other way.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import unquote_to_bytes

import orjson

from modelplane.adapters.providers.errors import refusal
from modelplane.adapters.providers.types import Image, JsonObject, NestedTooDeeply

_DATA = "data:"
_SYSTEM_ROLES = frozenset({"system", "developer"})
_ROLES = frozenset({"user", "assistant", "tool"}) | _SYSTEM_ROLES
_TEXT_TYPES = frozenset({"text", "input_text", "output_text"})
_SPELLINGS = {"image/jpg": "image/jpeg"}


@dataclass(frozen=True, slots=True)
class TextPart:
    """A text in a message; `source` is the part as the caller wrote it."""

    text: str = field(repr=False)
    source: JsonObject = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class ImagePart:
    """An image in a message: its URL, which may be a data URI."""

    url: str = field(repr=False)
    source: JsonObject = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class OtherPart:
    """A part of another type, for example `input_audio` or one of the provider's own."""

    type: str
    source: JsonObject = field(repr=False)


Part: TypeAlias = TextPart | ImagePart | OtherPart


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the assistant made earlier.

    Attributes:
        id: Identifier that the tool message repeats.
        name: Name of the function.
        arguments: Arguments as JSON text, as the caller sent them; may be anything.
    """

    id: str
    name: str
    arguments: str = field(repr=False)

    def parse_arguments(self) -> JsonObject:
        """Return the arguments as an object.

        A model may have written what is no JSON object; it stays readable under one key, since a
        refusal would end the conversation for good.
        """
        if not self.arguments.strip():
            return {}
        try:
            value = orjson.loads(self.arguments)
        except orjson.JSONDecodeError:
            value = None
        return value if isinstance(value, dict) else {"arguments": self.arguments}


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat.

    Attributes:
        role: `system`, `user`, `assistant` or `tool`; `developer` is read as `system`.
        parts: Its content; empty texts are left out.
        tool_calls: Calls that an assistant made.
        tool_call_id: Call that a tool's message answers.
        source: The message as the caller wrote it.
    """

    role: str
    parts: Sequence[Part]
    tool_calls: Sequence[ToolCall] = ()
    tool_call_id: str = ""
    source: JsonObject = field(default_factory=dict, repr=False)

    @property
    def text(self) -> str:
        """All texts of the content, joined."""
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))


def read_messages(provider: str, body: JsonObject) -> list[Message]:
    """Return the messages of a chat, in their order.

    Raises:
        RequestRefused: One cannot be read.
    """
    messages = body.get("messages")
    if not isinstance(messages, list):
        raise refusal(provider, "'messages' must be a list.")
    return [_read_message(provider, index, item) for index, item in enumerate(messages)]


def read_parts(provider: str, content: object) -> list[Part]:
    """Return the parts of a message's content: a text, a list of parts, or null.

    Raises:
        RequestRefused: It is something else.
    """
    if content is None:
        return []
    if isinstance(content, str):
        return [TextPart(content)] if content else []
    if not isinstance(content, list):
        raise refusal(provider, "A message's 'content' must be a text or a list of parts.")
    parts = [_read_part(provider, item) for item in content]
    return [part for part in parts if not isinstance(part, TextPart) or part.text]


def read_tool_calls(provider: str, value: object) -> list[ToolCall]:
    """Return the calls in an assistant message's `tool_calls`.

    Raises:
        RequestRefused: One has no id or names no function.
    """
    if value is None:
        return []
    if not isinstance(value, list):
        raise refusal(provider, "'tool_calls' must be a list.")
    return [_read_tool_call(provider, item) for item in value]


def parse_data_uri(provider: str, url: str) -> Image | None:
    """Return the content of a data URI; None for any other URL.

    Raises:
        RequestRefused: It is a data URI that cannot be decoded.
    """
    if url[: len(_DATA)].lower() != _DATA:
        return None
    head, comma, payload = url[len(_DATA) :].partition(",")
    media_type, *options = (item.strip().lower() for item in head.split(";"))
    try:
        raw = unquote_to_bytes(payload)
        data = base64.b64decode(raw, validate=True) if "base64" in options else raw
    except (binascii.Error, ValueError):
        data = b""
    if not comma or not data or "/" not in media_type:
        raise refusal(provider, "An 'image_url' holds a data URI that cannot be decoded.")
    return Image(_SPELLINGS.get(media_type, media_type), data)


def read_image_urls(provider: str, body: JsonObject) -> list[str]:
    """Return the URLs of all images in a chat that are no data URIs, each once.

    Raises:
        RequestRefused: A message cannot be read.
    """
    found = (
        part.url
        for message in read_messages(provider, body)
        for part in message.parts
        if isinstance(part, ImagePart) and part.url[: len(_DATA)].lower() != _DATA
    )
    return list(dict.fromkeys(found))


def _read_message(provider: str, index: int, value: object) -> Message:
    if not isinstance(value, dict):
        raise refusal(provider, f"messages[{index}] must be an object.")
    role = value.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise refusal(
            provider,
            f"messages[{index}] must have a 'role' of system, developer, user, assistant or tool.",
        )
    parts = read_parts(provider, value.get("content"))
    if role == "assistant":
        if value.get("function_call"):
            raise refusal(
                provider,
                f"messages[{index}] has a 'function_call', not supported: use 'tool_calls'.",
            )
        calls = read_tool_calls(provider, value.get("tool_calls"))
        return Message(role, parts, calls, source=value)
    if role == "tool":
        call_id = value.get("tool_call_id")
        if not isinstance(call_id, str):
            raise refusal(provider, f"messages[{index}] must have a 'tool_call_id'.")
        return Message(role, parts, tool_call_id=call_id, source=value)
    return Message("system" if role in _SYSTEM_ROLES else role, parts, source=value)


def _read_part(provider: str, value: object) -> Part:
    if isinstance(value, str):
        return TextPart(value)
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise refusal(provider, "Each part of a message's 'content' must have a 'type'.")
    kind = value["type"]
    if kind in _TEXT_TYPES or kind == "refusal":
        text = value.get("refusal" if kind == "refusal" else "text")
        if not isinstance(text, str):
            raise refusal(provider, f"A part of type '{kind}' must hold a text.")
        return TextPart(text, value)
    if kind == "image_url":
        image = value.get("image_url")
        url = image.get("url") if isinstance(image, dict) else image
        if not isinstance(url, str) or not url:
            raise refusal(provider, "A part of type 'image_url' must hold a 'url'.")
        return ImagePart(url, value)
    return OtherPart(kind, value)


def _read_tool_call(provider: str, value: object) -> ToolCall:
    function = value.get("function") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(function, dict):
        raise refusal(provider, "Each of 'tool_calls' must have an 'id' and a 'function'.")
    call_id, name = value.get("id"), function.get("name")
    if not isinstance(call_id, str) or not isinstance(name, str):
        raise refusal(provider, "Each of 'tool_calls' must have an 'id' and a function's 'name'.")
    arguments = function.get("arguments")
    if arguments is None:
        arguments = ""
    return ToolCall(call_id, name, _arguments_text(provider, arguments))


def _arguments_text(provider: str, arguments: object) -> str:
    if isinstance(arguments, str):
        return arguments
    try:
        return orjson.dumps(arguments).decode()
    except NestedTooDeeply as error:
        raise refusal(provider, "The 'arguments' of a call are nested too deeply.") from error
