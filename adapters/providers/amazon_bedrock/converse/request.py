"""Builds the body of Bedrock's Converse, which every family of chat models understands.

API: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html.

- System messages move to the front; `canonical/history.py` makes turns of the others.
- The oldest models take no system messages: the user's first message begins with them.
- Converse has no way to forbid tools, and refuses earlier calls where no tools are given: without
  tools, or with `tool_choice` none, no tool is sent and earlier calls are told in words.
- Thinking goes back as it came, with its signature, as `answers.py` gives it: in
  `thinking_blocks`.
- `cache_control` on a part or a tool becomes a cache point behind it.
- Parts of a type that Converse has (`document`, `video`, …) pass as they are.

Next: `tools.py`, `parameters.py`.
"""

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from modelplane.adapters.providers.amazon_bedrock.converse.parameters import translate_parameters
from modelplane.adapters.providers.amazon_bedrock.converse.tools import translate_tools
from modelplane.adapters.providers.canonical.history import Turn, arrange
from modelplane.adapters.providers.canonical.json_values import as_objects, as_text
from modelplane.adapters.providers.canonical.messages import (
    ImagePart,
    Message,
    Part,
    TextPart,
    ToolCall,
    parse_data_uri,
    read_messages,
)
from modelplane.adapters.providers.canonical.parameters import Parameters
from modelplane.adapters.providers.canonical.tool_names import ToolNames, read_tool_names
from modelplane.adapters.providers.errors import refusal
from modelplane.adapters.providers.refusals import CONVERSE_NAMES, claude_model
from modelplane.adapters.providers.types import Image, JsonObject, Query

_WITHOUT_SYSTEM = re.compile(r"claude-v2$|claude-instant|titan-text|command-(light-)?text|j2-")
_FORMATS = {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
_OWN_PARTS = frozenset({"document", "video", "guardContent", "cachePoint"})
_CACHE_POINT: JsonObject = {"cachePoint": {"type": "default"}}


@dataclass(frozen=True, slots=True)
class ConverseBody:
    """A body and what was done to get there; `adapted` is as in `Plan`."""

    body: JsonObject = field(repr=False)
    adapted: tuple[str, ...]


def tool_names(query: Query) -> ToolNames:
    """Return the names of a query's tools as Converse accepts them, and back again."""
    return ToolNames(read_tool_names(query.body), CONVERSE_NAMES)


def build_converse_body(
    provider: str, family: str, model: str, query: Query, images: Mapping[str, Image]
) -> ConverseBody:
    """Return the body that puts a chat to a model.

    Args:
        provider: Name that errors carry.
        family: The model's family.
        model: The model's own name.
        query: The query; its body is left as it is.
        images: Content of the images that are no data URIs, by URL.

    Raises:
        RequestRefused: The query cannot be put to it.
    """
    try:
        return _build(provider, family, model, query, images)
    except RecursionError:
        raise refusal(provider, "A JSON schema is nested too deeply.") from None


def _build(
    provider: str, family: str, model: str, query: Query, images: Mapping[str, Image]
) -> ConverseBody:
    parameters = Parameters(provider, query)
    messages = read_messages(provider, query.body)
    parameters.take("messages")
    names = tool_names(query)
    tools = translate_tools(parameters, names, family)
    writer = _Writer(provider, names, images, told=tools is None)
    _note_changes(parameters, messages, told=tools is None)
    if _WITHOUT_SYSTEM.match(model) and any(one.role == "system" for one in messages):
        parameters.note("messages=system told by the user")
        messages = _as_users(messages)
    system, turns = arrange(parameters, messages, prefill=_goes_on(family, model))
    body: JsonObject = {"messages": writer.turns(turns)}
    if blocks := writer.system(system):
        body["system"] = blocks
    translate_parameters(parameters, family, model, body, tools)
    return ConverseBody(body, parameters.adapted)


def _goes_on(family: str, model: str) -> bool:
    """Tell whether a model goes on from what the assistant says last."""
    return family == "anthropic" and claude_model(model).prefill


def _note_changes(parameters: Parameters, messages: Sequence[Message], *, told: bool) -> None:
    if told and any(message.tool_calls for message in messages):
        parameters.note("messages=tool calls told in words")


def _as_users(messages: Sequence[Message]) -> list[Message]:
    """Return messages with what the system says as the user's first words."""
    system = [replace(one, role="user") for one in messages if one.role == "system"]
    return [*system, *(one for one in messages if one.role != "system")]


class _Writer:
    """Writes messages as blocks."""

    def __init__(
        self, provider: str, names: ToolNames, images: Mapping[str, Image], *, told: bool
    ) -> None:
        self._provider = provider
        self._names = names
        self._images = images
        # Whether calls and results are told in words.
        self._told = told
        self._ids = ToolNames((), CONVERSE_NAMES)

    def turns(self, turns: Sequence[Turn]) -> list[JsonObject]:
        written: list[JsonObject] = []
        for turn in turns:
            write = self._assistant if turn.role == "assistant" else self._user
            blocks = [block for message in turn.messages for block in write(message)]
            # Results stand together, before the cache points behind them.
            blocks.sort(key=lambda block: "toolResult" not in block)
            written.append({"role": turn.role, "content": blocks})
        return written

    def system(self, messages: Sequence[Message]) -> list[JsonObject]:
        blocks = [block for message in messages for block in self._content(message.parts)]
        if any(not block.keys() & {"text", "cachePoint", "guardContent"} for block in blocks):
            raise refusal(self._provider, "A system message must hold texts only.")
        return blocks

    def _content(self, parts: Sequence[Part]) -> list[JsonObject]:
        return [block for part in parts for block in self._part(part)]

    def _user(self, message: Message) -> Iterator[JsonObject]:
        blocks = self._content(message.parts)
        if message.role != "tool":
            yield from blocks
        elif self._told:
            yield {"text": f"[Result of the tool call {message.tool_call_id}]"}
            yield from blocks
        else:
            call_id = self._ids.encode(message.tool_call_id)
            points = [block for block in blocks if "cachePoint" in block]
            content = [block for block in blocks if "cachePoint" not in block]
            yield {"toolResult": {"toolUseId": call_id, "content": content}}
            yield from points

    def _assistant(self, message: Message) -> Iterator[JsonObject]:
        if not (self._told and message.tool_calls):
            # A signature is only good beside the calls that it was made for.
            yield from _reasoning(message)
        yield from self._content(message.parts)
        for call in message.tool_calls:
            yield self._told_call(call) if self._told else self._call(call)

    def _call(self, call: ToolCall) -> JsonObject:
        return {
            "toolUse": {
                "toolUseId": self._ids.encode(call.id),
                "name": self._names.encode(call.name),
                "input": call.parse_arguments(),
            }
        }

    def _told_call(self, call: ToolCall) -> JsonObject:
        return {"text": f"[Tool call {call.id}: {call.name}({call.arguments})]"}

    def _part(self, part: Part) -> Iterator[JsonObject]:
        if isinstance(part, TextPart):
            yield {"text": part.text}
        elif isinstance(part, ImagePart):
            yield {"image": self._image(part.url)}
        elif part.type in ("thinking", "redacted_thinking"):
            return
        elif part.type in _OWN_PARTS and part.type in part.source:
            yield {part.type: part.source[part.type]}
        else:
            raise refusal(
                self._provider, f"{self._provider} takes no content of type '{part.type}'."
            )
        if isinstance(part.source.get("cache_control"), dict):
            yield _CACHE_POINT

    def _image(self, url: str) -> JsonObject:
        image = self._images.get(url) or parse_data_uri(self._provider, url)
        if image is None:
            raise refusal(self._provider, "An 'image_url' must be a data, http or https URL.")
        form = _FORMATS.get(image.media_type)
        if form is None:
            raise refusal(
                self._provider,
                f"{self._provider} takes images as PNG, JPEG, GIF or WebP, not "
                f"'{image.media_type}'.",
            )
        return {"format": form, "source": {"bytes": base64.b64encode(image.data).decode()}}


def _reasoning(message: Message) -> Iterator[JsonObject]:
    blocks = as_objects(message.source.get("thinking_blocks"))
    listed = as_objects(message.source.get("content"))
    for block in blocks or listed:
        if block.get("type") == "thinking":
            text: JsonObject = {"text": as_text(block.get("thinking"))}
            if block.get("signature"):
                text["signature"] = block["signature"]
            yield {"reasoningContent": {"reasoningText": text}}
        elif block.get("type") == "redacted_thinking":
            yield {"reasoningContent": {"redactedContent": block.get("data")}}
