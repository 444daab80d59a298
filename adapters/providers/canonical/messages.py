"""Reads canonical requests for adapters whose provider speaks another format than OpenAI's.

A caller may send any JSON, so nothing here trusts a type: what cannot be read is refused with a
text that says what to change. `history.py` brings messages into the order that providers demand,
`answers.py` builds what goes the other way.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import unquote_to_bytes

import orjson

from modelplane.adapters.providers.errors import RequestRefused
from modelplane.adapters.providers.refusals import NameRules
from modelplane.adapters.providers.types import Image, JsonObject

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


def refuse(provider: str, message: str) -> RequestRefused:
    """Return the refusal of a request that this provider cannot take."""
    return RequestRefused(provider, {"error": {"message": message}})


def read_messages(provider: str, body: JsonObject) -> list[Message]:
    """Return the messages of a chat, in their order.

    Raises:
        RequestRefused: One cannot be read.
    """
    messages = body.get("messages")
    if not isinstance(messages, list):
        raise refuse(provider, "'messages' must be a list.")
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
        raise refuse(provider, "A message's 'content' must be a text or a list of parts.")
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
        raise refuse(provider, "'tool_calls' must be a list.")
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
        raise refuse(provider, "An 'image_url' holds a data URI that cannot be decoded.")
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


def read_stop(provider: str, body: JsonObject) -> list[str]:
    """Return the stop texts: `stop` may be absent, one text or a list.

    Raises:
        RequestRefused: It is something else.
    """
    stop = body.get("stop")
    if stop is None:
        return []
    listed = stop if isinstance(stop, list) else [stop]
    texts = [item for item in listed if isinstance(item, str)]
    if len(texts) != len(listed):
        raise refuse(provider, "'stop' must be a text or a list of texts.")
    return [item for item in texts if item]


def read_prompt(provider: str, body: JsonObject) -> str:
    """Return the prompt of a completion, for a provider that takes one text at a time.

    Raises:
        RequestRefused: It holds several texts, or tokens.
    """
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise refuse(
            provider, f"{provider} takes one text as 'prompt': send one request for each text."
        )
    return prompt


def refuse_unsupported(
    provider: str, body: JsonObject, neutral: Mapping[str, Sequence[object]]
) -> None:
    """Refuse parameters that the provider does not have; take out those that ask for nothing.

    Args:
        provider: Name that the refusal carries.
        body: Body to look at; parameters with a neutral value are removed from it.
        neutral: Values, beside null, that ask for nothing, by parameter; for example 1 for `n`.

    Raises:
        RequestRefused: One of the parameters asks for something.
    """
    for name, values in neutral.items():
        if name not in body:
            continue
        value = body.pop(name)
        # `False == 0`, and a parameter of the wrong type is to be refused, not ignored.
        if value is not None and not any(
            value == one and type(value) is type(one) for one in values
        ):
            raise refuse(provider, f"{provider} does not support '{name}': leave it out.")


class ToolNames:
    """Names of tools in a form that a provider accepts, and back again.

    Names that fit stay as they are. Any other gets its illegal characters replaced and a digest
    at its end, so that two names never meet, and the same name is always written the same way.
    """

    __slots__ = ("_original", "_rules")

    def __init__(self, names: Iterable[str], rules: NameRules) -> None:
        """Prepare for the tools of one query.

        Args:
            names: Names of the tools that an answer may call.
            rules: Which names the provider takes.
        """
        self._rules = rules
        self._original = {self.encode(name): name for name in names}

    @property
    def renamed(self) -> bool:
        """Whether any of the names does not fit."""
        return any(wire != name for wire, name in self._original.items())

    def encode(self, name: str) -> str:
        """Return the provider's form of a name."""
        rules = self._rules
        if rules.take(name):
            return name
        cleaned = "".join(char if rules.legal.fullmatch(char) else "_" for char in name)
        if rules.first and not rules.first.match(cleaned):
            cleaned = f"_{cleaned}"
        digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8]
        return f"{cleaned[: rules.longest - 9]}_{digest}"

    def decode(self, name: str) -> str:
        """Return the caller's form of a name that the provider sent."""
        return self._original.get(name, name)


def read_tool_names(body: JsonObject) -> list[str]:
    """Return the names of the functions in `tools`; what cannot be read is left out."""
    tools = body.get("tools")
    names = []
    for tool in tools if isinstance(tools, list) else ():
        function = tool.get("function") if isinstance(tool, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if isinstance(name, str):
            names.append(name)
    return names


def _read_message(provider: str, index: int, value: object) -> Message:
    if not isinstance(value, dict):
        raise refuse(provider, f"messages[{index}] must be an object.")
    role = value.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise refuse(
            provider,
            f"messages[{index}] must have a 'role' of system, developer, user, assistant or tool.",
        )
    parts = read_parts(provider, value.get("content"))
    if role == "assistant":
        if value.get("function_call"):
            raise refuse(
                provider,
                f"messages[{index}] has a 'function_call', not supported: use 'tool_calls'.",
            )
        calls = read_tool_calls(provider, value.get("tool_calls"))
        return Message(role, parts, calls, source=value)
    if role == "tool":
        call_id = value.get("tool_call_id")
        if not isinstance(call_id, str):
            raise refuse(provider, f"messages[{index}] must have a 'tool_call_id'.")
        return Message(role, parts, tool_call_id=call_id, source=value)
    return Message("system" if role in _SYSTEM_ROLES else role, parts, source=value)


def _read_part(provider: str, value: object) -> Part:
    if isinstance(value, str):
        return TextPart(value)
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise refuse(provider, "Each part of a message's 'content' must have a 'type'.")
    kind = value["type"]
    if kind in _TEXT_TYPES or kind == "refusal":
        text = value.get("refusal" if kind == "refusal" else "text")
        if not isinstance(text, str):
            raise refuse(provider, f"A part of type '{kind}' must hold a text.")
        return TextPart(text, value)
    if kind == "image_url":
        image = value.get("image_url")
        url = image.get("url") if isinstance(image, dict) else image
        if not isinstance(url, str) or not url:
            raise refuse(provider, "A part of type 'image_url' must hold a 'url'.")
        return ImagePart(url, value)
    return OtherPart(kind, value)


def _read_tool_call(provider: str, value: object) -> ToolCall:
    function = value.get("function") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(function, dict):
        raise refuse(provider, "Each of 'tool_calls' must have an 'id' and a 'function'.")
    call_id, name = value.get("id"), function.get("name")
    if not isinstance(call_id, str) or not isinstance(name, str):
        raise refuse(provider, "Each of 'tool_calls' must have an 'id' and a function's 'name'.")
    arguments = function.get("arguments")
    if arguments is None:
        arguments = ""
    return ToolCall(call_id, name, _arguments_text(provider, arguments))


def _arguments_text(provider: str, arguments: object) -> str:
    if isinstance(arguments, str):
        return arguments
    try:
        return orjson.dumps(arguments).decode()
    except TypeError as error:
        # The parser accepts deeper nesting than the encoder.
        raise refuse(provider, "The 'arguments' of a call are nested too deeply.") from error
