"""Builds the body of Anthropic's Messages API, for every service that hosts Claude.

API: https://docs.anthropic.com/en/api/messages. What services do differently is a `Dialect`.

- System messages move to the front; `canonical/history.py` makes turns of the others.
- Thinking has to be sent back as it came: an assistant message takes it as `thinking_blocks`, as
  `answers.py` gives it, or as parts of type `thinking` and `redacted_thinking`.
- `cache_control` on a message's parts and on tools stays where it is.

Next: `parameters.py` translates the other parameters.
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from modelplane.adapters.providers.anthropic.parameters import translate_parameters
from modelplane.adapters.providers.anthropic.tools import translate_tools
from modelplane.adapters.providers.canonical.history import Turn, arrange
from modelplane.adapters.providers.canonical.messages import (
    ImagePart,
    Message,
    Part,
    TextPart,
    parse_data_uri,
    read_messages,
)
from modelplane.adapters.providers.canonical.parameters import Parameters, Ranges
from modelplane.adapters.providers.canonical.tool_names import ToolNames, read_tool_names
from modelplane.adapters.providers.errors import refusal
from modelplane.adapters.providers.refusals import (
    CLAUDE_CALL_IDS,
    CLAUDE_NAMES,
    CLAUDE_RANGES,
    NAMELESS_CLAUDE,
    ClaudeModel,
)
from modelplane.adapters.providers.types import Image, JsonObject, Query

# Another provider may have given an earlier call an id that the API refuses.
_CALL_IDS = ToolNames((), CLAUDE_CALL_IDS)
_THINKING = ("thinking", "redacted_thinking")
# Parts of OpenAI's API that Claude does not take; any other type passes, for example `document`.
_REFUSED_PARTS = frozenset({"input_audio", "file", "input_file", "input_image"})
_NO_IMAGES: Mapping[str, Image] = {}


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between the services that host Claude.

    Attributes:
        provider: Name that errors carry.
        model: Value of `model`; None leaves it out.
        version: Value of `anthropic_version` in the body; None leaves it out.
        betas_in_body: Whether betas are named in the body, as `anthropic_beta`.
        stream_in_body: Whether the body says that the answer is to be streamed.
        takes: What the model takes.
        ranges: Ranges of its parameters, where it completes texts by the legacy API.
    """

    provider: str
    model: str | None = None
    version: str | None = None
    betas_in_body: bool = False
    stream_in_body: bool = True
    takes: ClaudeModel = NAMELESS_CLAUDE
    ranges: Ranges = field(default_factory=lambda: CLAUDE_RANGES)


@dataclass(frozen=True, slots=True)
class MessagesBody:
    """A body and what was done to get there.

    Attributes:
        body: The body.
        adapted: As in `Plan`.
        betas: Betas that the caller asked for, for the header `anthropic-beta`.
    """

    body: JsonObject = field(repr=False)
    adapted: tuple[str, ...] = ()
    betas: tuple[str, ...] = ()


def tool_names(query: Query) -> ToolNames:
    """Return the names of a query's tools as the API accepts them, and back again."""
    return ToolNames(read_tool_names(query.body), CLAUDE_NAMES)


def build_messages_body(
    query: Query, dialect: Dialect, images: Mapping[str, Image] = _NO_IMAGES
) -> MessagesBody:
    """Return the body that puts a chat to Claude.

    Args:
        query: The query; its body is left as it is.
        dialect: What the service does differently.
        images: Content of images that the service does not fetch by itself, by URL.

    Raises:
        RequestRefused: The query cannot be put to Claude.
    """
    try:
        return _build(query, dialect, images)
    except RecursionError:
        raise refusal(dialect.provider, "A JSON schema is nested too deeply.") from None


def _build(query: Query, dialect: Dialect, images: Mapping[str, Image]) -> MessagesBody:
    parameters = Parameters(dialect.provider, query)
    messages = read_messages(dialect.provider, query.body)
    parameters.take("messages")
    names = tool_names(query)
    writer = _Writer(dialect.provider, names, images)
    head: JsonObject = {} if dialect.model is None else {"model": dialect.model}
    if dialect.version is not None:
        head["anthropic_version"] = dialect.version
    system, turns = arrange(parameters, messages, prefill=dialect.takes.prefill)
    body = head | {"messages": writer.turns(turns)}
    if blocks := [block for message in system for block in writer.content(message.parts)]:
        body["system"] = _plain(blocks)
    translate_tools(parameters, names, messages, body)
    translate_parameters(parameters, body, dialect.takes)
    betas = _read_betas(parameters)
    if betas and dialect.betas_in_body:
        body["anthropic_beta"] = list(betas)
    if query.stream and dialect.stream_in_body:
        body["stream"] = True
    return MessagesBody(body | parameters.rest, parameters.adapted, betas)


class _Writer:
    """Writes messages as blocks."""

    def __init__(self, provider: str, names: ToolNames, images: Mapping[str, Image]) -> None:
        self._provider = provider
        self._names = names
        self._images = images

    def turns(self, turns: Sequence[Turn]) -> list[JsonObject]:
        written: list[JsonObject] = []
        for turn in turns:
            write = self._assistant if turn.role == "assistant" else self._user
            blocks = [block for message in turn.messages for block in write(message)]
            written.append({"role": turn.role, "content": _plain(blocks)})
        return written

    def content(self, parts: Sequence[Part]) -> list[JsonObject]:
        return [block for part in parts for block in self._part(part)]

    def _user(self, message: Message) -> list[JsonObject]:
        blocks = self.content(message.parts)
        if message.role != "tool":
            return blocks
        result: JsonObject = {
            "type": "tool_result",
            "tool_use_id": _CALL_IDS.encode(message.tool_call_id),
        }
        return [{**result, "content": _plain(blocks)} if blocks else result]

    def _assistant(self, message: Message) -> list[JsonObject]:
        said = self.content(message.parts)
        thought = [block for block in said if block["type"] in _THINKING]
        thought = list(_thinking_blocks(message)) or thought
        calls: list[JsonObject] = [
            {
                "type": "tool_use",
                "id": _CALL_IDS.encode(call.id),
                "name": self._names.encode(call.name),
                "input": call.parse_arguments(),
            }
            for call in message.tool_calls
        ]
        return [*thought, *(block for block in said if block["type"] not in _THINKING), *calls]

    def _part(self, part: Part) -> Iterator[JsonObject]:
        if isinstance(part, TextPart):
            yield {"type": "text", "text": part.text, **_cache_control(part.source)}
        elif isinstance(part, ImagePart):
            yield {
                "type": "image",
                "source": self._image_source(part.url),
                **_cache_control(part.source),
            }
        elif part.type in _REFUSED_PARTS:
            raise refusal(
                self._provider, f"{self._provider} takes no content of type '{part.type}'."
            )
        else:
            yield part.source

    def _image_source(self, url: str) -> JsonObject:
        image = self._images.get(url) or parse_data_uri(self._provider, url)
        if image is None:
            return {"type": "url", "url": url}
        data = base64.b64encode(image.data).decode()
        return {"type": "base64", "media_type": image.media_type, "data": data}


def _thinking_blocks(message: Message) -> Iterator[JsonObject]:
    blocks = message.source.get("thinking_blocks")
    for block in blocks if isinstance(blocks, list) else ():
        if isinstance(block, dict) and block.get("type") in _THINKING:
            # A stream numbers them, so that clients can add them up.
            yield {name: value for name, value in block.items() if name != "index"}


def _plain(blocks: list[JsonObject]) -> object:
    """Return a lone plain text as such, which is how most callers know it."""
    if len(blocks) == 1 and blocks[0].keys() == {"type", "text"}:
        return blocks[0]["text"]
    return blocks


def _cache_control(source: JsonObject) -> JsonObject:
    control = source.get("cache_control")
    return {"cache_control": control} if isinstance(control, dict) else {}


def _read_betas(parameters: Parameters) -> tuple[str, ...]:
    value = parameters.take("anthropic_beta")
    listed = value if isinstance(value, list) else str(value).split(",") if value else []
    betas = tuple(beta.strip() for beta in listed if isinstance(beta, str) and beta.strip())
    if not all(beta.isascii() and beta.isprintable() for beta in betas):
        raise parameters.refusal("'anthropic_beta' must name betas.")
    return betas
