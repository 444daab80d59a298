"""Parses answers of Anthropic's Messages API, whole or streamed, from every service that has it.

API: https://docs.anthropic.com/en/api/messages and .../messages-streaming.

- Thinking is given as the text `reasoning_content`, and as `thinking_blocks` with its signatures,
  which the next query has to carry; in a stream the latter come when a block is complete, each
  with its `index`.
- Input tokens exclude cached ones there. A stream's counts are totals: the last one of each holds.
- A stop reason that OpenAI's words do not cover is also the choice's `provider_finish_reason`.

`messages.py` builds the queries.
"""

from collections.abc import Callable, Iterator, Mapping

from modelplane.adapters.providers.canonical.answers import (
    ChunkBuilder,
    build_chat_answer,
    build_chat_choice,
    build_thoughtful_message,
    build_tool_call,
    build_tool_fragment,
    build_tool_start,
    build_usage,
)
from modelplane.adapters.providers.canonical.bounds import GrowingText
from modelplane.adapters.providers.canonical.json_values import (
    as_object,
    as_objects,
    as_text,
    dump_arguments,
)
from modelplane.adapters.providers.canonical.sse_stream import SseStreamParser
from modelplane.adapters.providers.canonical.tool_names import ToolNames
from modelplane.adapters.providers.errors import AdapterError, MalformedAnswer, StreamTruncated
from modelplane.adapters.providers.types import JsonObject, Usage, as_count, parse_usage

ReportedError = Callable[[JsonObject], AdapterError]

_FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    # The turn is not over: the caller has to ask for the rest.
    "pause_turn": "length",
}
_PLAIN = frozenset({"end_turn", "stop_sequence", "max_tokens", "tool_use"})
# A tuple, since the type that a provider sends may be a list, which has no hash.
_THINKING = ("thinking", "redacted_thinking")


def parse_message(provider: str, message: JsonObject, names: ToolNames, created: int) -> JsonObject:
    """Return the canonical answer in a whole message.

    Args:
        provider: Name that errors carry.
        message: The provider's answer.
        names: Names of the query's tools.
        created: Seconds since the epoch.

    Raises:
        MalformedAnswer: It is no message.
    """
    content = message.get("content")
    reason = message.get("stop_reason")
    if not isinstance(content, list) or not isinstance(reason, str):
        raise MalformedAnswer(provider, "the provider's answer is no message")
    blocks = as_objects(content)
    choice = build_chat_choice(_parse_content(provider, blocks, names), finish_reason_of(reason))
    usage = parse_message_usage(message.get("usage"))
    return build_chat_answer(
        as_text(message.get("id")), created, [choice | _stop_reason(reason)], usage
    )


def finish_reason_of(stop_reason: object) -> str:
    """Return the canonical finish reason for one of the API's stop reasons."""
    return _FINISH_REASONS.get(str(stop_reason), "stop")


def parse_message_usage(usage: object) -> JsonObject:
    """Return the canonical usage; counts that are missing are 0."""
    counts = as_object(usage)
    cached = as_count(counts.get("cache_read_input_tokens")) or 0
    written = as_count(counts.get("cache_creation_input_tokens")) or 0
    thinking = as_object(counts.get("output_tokens_details")).get("thinking_tokens")
    return build_usage(
        (as_count(counts.get("input_tokens")) or 0) + cached + written,
        as_count(counts.get("output_tokens")) or 0,
        cached=cached,
        written=written,
        reasoning=as_count(thinking) or 0,
    )


def _parse_content(provider: str, blocks: list[JsonObject], names: ToolNames) -> JsonObject:
    text = "".join(as_text(block.get("text")) for block in blocks if block.get("type") == "text")
    used = [block for block in blocks if block.get("type") == "tool_use"]
    calls = [
        build_tool_call(
            as_text(block.get("id")),
            names.decode(as_text(block.get("name"))),
            dump_arguments(provider, block.get("input")),
        )
        for block in used
    ]
    thought = [block for block in blocks if block.get("type") in _THINKING]
    return build_thoughtful_message(text, calls, thought)


def _stop_reason(reason: object) -> JsonObject:
    return {} if str(reason) in _PLAIN else {"provider_finish_reason": reason}


class MessagesStreamParser(SseStreamParser):
    """Parses one streamed message, from bytes or from events that are framed already."""

    def __init__(
        self, provider: str, names: ToolNames, created: int, reported: ReportedError
    ) -> None:
        """Start before the first byte.

        Args:
            provider: Name that errors carry.
            names: Names of the query's tools.
            created: Seconds since the epoch.
            reported: Returns the error that an event of type `error` reports.
        """
        super().__init__(provider)
        self._names = names
        self._created = created
        self._reported = reported
        self._chunks: ChunkBuilder | None = None
        self._counts: JsonObject = {}
        self._stopped = False
        self._calls = 0
        self._thoughts = 0
        # The block that is open: its fields, grown by its deltas.
        self._block: JsonObject = {}
        self._thought = GrowingText(provider)
        self._arguments_seen = False

    def take(self, event: JsonObject) -> Iterator[JsonObject]:
        """Yield the chunks that one event gives; see `SseStreamParser`."""
        kind = event.get("type")
        if kind == "error" or "error" in event:
            raise self._reported(event)
        read = _EVENTS.get(str(kind))
        # Events that were not known when this was written carry nothing that is needed.
        if read is None or self.ended:
            return
        if self._chunks is None and kind != "message_start":
            raise MalformedAnswer(self._provider, "the stream did not begin with a message")
        yield from read(self, event)

    def _start(self, event: JsonObject) -> Iterator[JsonObject]:
        message = as_object(event.get("message"))
        self._chunks = ChunkBuilder(as_text(message.get("id")), self._created)
        self._count(message)
        # The first event counts the output too, which has hardly begun.
        self._note_usage(final=False)
        yield from self._delta({"role": "assistant", "content": ""})

    def _open_block(self, event: JsonObject) -> Iterator[JsonObject]:
        block = dict(as_object(event.get("content_block")))
        self._block = block
        if block.get("type") == "tool_use":
            self._arguments_seen = False
            name = self._names.decode(as_text(block.get("name")))
            yield from self._delta(build_tool_start(self._calls, as_text(block.get("id")), name))
        elif block.get("type") == "text" and (text := as_text(block.get("text"))):
            yield from self._delta({"content": text})
        elif block.get("type") == "thinking" and (text := as_text(block.get("thinking"))):
            yield from self._delta({"reasoning_content": text})

    def _grow_block(self, event: JsonObject) -> Iterator[JsonObject]:
        delta = as_object(event.get("delta"))
        kind = delta.get("type")
        if kind == "text_delta":
            yield from self._delta({"content": as_text(delta.get("text"))})
        elif kind == "input_json_delta":
            fragment = as_text(delta.get("partial_json"))
            # A server tool's arguments are no call for the caller to carry out.
            if fragment and self._block.get("type") == "tool_use":
                self._arguments_seen = True
                yield from self._delta(build_tool_fragment(self._calls, fragment))
        elif kind == "thinking_delta":
            text = as_text(delta.get("thinking"))
            self._thought.add(text)
            yield from self._delta({"reasoning_content": text})
        elif kind == "signature_delta":
            self._block["signature"] = delta.get("signature")

    def _close_block(self, _event: JsonObject) -> Iterator[JsonObject]:
        block, self._block = self._block, {}
        if block.get("type") == "tool_use":
            if not self._arguments_seen:
                # All at once with the block's start, or none at all.
                arguments = dump_arguments(self._provider, block.get("input"))
                yield from self._delta(build_tool_fragment(self._calls, arguments))
            self._calls += 1
        elif block.get("type") in _THINKING:
            if grown := self._thought.take():
                block["thinking"] = as_text(block.get("thinking")) + grown
            numbered = {"index": self._thoughts, **block}
            self._thoughts += 1
            yield from self._delta({"thinking_blocks": [numbered]})

    def _change_message(self, event: JsonObject) -> Iterator[JsonObject]:
        self._count(event)
        self._note_usage(final=True)
        reason = as_object(event.get("delta")).get("stop_reason")
        if reason is None or self._stopped or self._chunks is None:
            return
        self._stopped = True
        yield self._chunks.delta({}, finish_reason_of(reason), more=_stop_reason(reason))

    def _stop(self, _event: JsonObject) -> Iterator[JsonObject]:
        if not self._stopped or self._chunks is None:
            raise StreamTruncated(self._provider, "the stream ended without a stop reason")
        self.ended = True
        yield self._chunks.usage(parse_message_usage(self._counts))

    def _count(self, holder: JsonObject) -> None:
        usage = as_object(holder.get("usage"))
        self._counts |= {name: value for name, value in usage.items() if value is not None}

    def _note_usage(self, *, final: bool) -> None:
        if self._counts:
            counted = parse_usage({"usage": parse_message_usage(self._counts)})
            self.usage = counted if final or counted is None else Usage(counted.input_tokens)

    def _delta(self, delta: JsonObject) -> Iterator[JsonObject]:
        if self._chunks is not None:
            yield self._chunks.delta(delta)


_EventReader = Callable[[MessagesStreamParser, JsonObject], Iterator[JsonObject]]
_EVENTS: Mapping[str, _EventReader] = {
    "message_start": MessagesStreamParser._start,  # noqa: SLF001 - the class's own table
    "content_block_start": MessagesStreamParser._open_block,  # noqa: SLF001
    "content_block_delta": MessagesStreamParser._grow_block,  # noqa: SLF001
    "content_block_stop": MessagesStreamParser._close_block,  # noqa: SLF001
    "message_delta": MessagesStreamParser._change_message,  # noqa: SLF001
    "message_stop": MessagesStreamParser._stop,  # noqa: SLF001
}
