"""Parses answers of Bedrock's Converse, whole or streamed.

API: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html.

- Input tokens exclude cached ones there.
- A stream's usage comes after its stop reason, in the event `metadata`, which is its end.
- Thinking is given as the text `reasoning_content`, and as `thinking_blocks` with its signatures,
  which the next query has to carry; in a stream the latter come when a block is complete.
- A stop reason that OpenAI's words do not cover is also the choice's `provider_finish_reason`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from modelplane.adapters.providers.amazon_bedrock.event_stream import EventStreamParser
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
from modelplane.adapters.providers.canonical.tool_names import ToolNames
from modelplane.adapters.providers.errors import MalformedAnswer, StreamTruncated, UnusableAnswer
from modelplane.adapters.providers.types import JsonObject, as_count, parse_usage

_FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
}
_PLAIN = frozenset({"end_turn", "stop_sequence", "max_tokens", "tool_use"})
# The model wrote what is no answer.
_FAILURES = frozenset({"malformed_model_output", "malformed_tool_use"})


@dataclass(frozen=True, slots=True)
class Reading:
    """What it takes to read the answer to one query.

    Attributes:
        provider: Name that errors carry.
        names: Names of the query's tools.
        format_tool: Tool whose arguments are the text of the answer; None without one.
    """

    provider: str
    names: ToolNames
    format_tool: str | None


def parse_converse(
    reading: Reading, answer: JsonObject, answer_id: str, created: int
) -> JsonObject:
    """Return the canonical answer in a whole one.

    Args:
        reading: How to read it.
        answer: Converse's answer.
        answer_id: Id of the answer, which Converse gives none.
        created: Seconds since the epoch.

    Raises:
        AdapterError: It is no answer, or one that failed.
    """
    reason = answer.get("stopReason")
    if not isinstance(reason, str):
        raise MalformedAnswer(reading.provider, "the provider's answer has no stop reason")
    # A guardrail may leave out the whole output.
    message = as_object(as_object(answer.get("output")).get("message"))
    built = _parse_content(reading, as_objects(message.get("content")))
    finish, more = _read_reason(reading.provider, reason, has_calls="tool_calls" in built)
    choice = build_chat_choice(built, finish) | more
    return build_chat_answer(
        answer_id, created, [choice], parse_converse_usage(answer.get("usage"))
    )


def parse_converse_usage(usage: object) -> JsonObject:
    """Return the canonical usage; counts that are missing are 0."""
    counts = as_object(usage)
    cached = as_count(counts.get("cacheReadInputTokens")) or 0
    written = as_count(counts.get("cacheWriteInputTokens")) or 0
    prompt = (as_count(counts.get("inputTokens")) or 0) + cached + written
    completion = as_count(counts.get("outputTokens")) or 0
    return build_usage(prompt, completion, cached=cached, written=written)


def _read_reason(provider: str, reason: str, *, has_calls: bool) -> tuple[str, JsonObject]:
    """Return the finish reason, and what it does not cover."""
    if reason in _FAILURES:
        raise UnusableAnswer(provider, {"stopReason": reason})
    finish = _FINISH_REASONS.get(reason, "stop")
    if reason == "tool_use" and not has_calls:
        finish = "stop"
    return finish, {} if reason in _PLAIN else {"provider_finish_reason": reason}


def _parse_content(reading: Reading, blocks: list[JsonObject]) -> JsonObject:
    text = ""
    calls: list[JsonObject] = []
    thought: list[JsonObject] = []
    for block in blocks:
        text += as_text(block.get("text"))
        cited = as_object(block.get("citationsContent"))
        text += "".join(as_text(one.get("text")) for one in as_objects(cited.get("content")))
        if isinstance(block.get("toolUse"), dict):
            use = as_object(block["toolUse"])
            arguments = dump_arguments(reading.provider, use.get("input"))
            if use.get("name") == reading.format_tool:
                text += arguments
            else:
                name = reading.names.decode(as_text(use.get("name")))
                calls.append(build_tool_call(as_text(use.get("toolUseId")), name, arguments))
        if isinstance(block.get("reasoningContent"), dict):
            thought.append(_thinking_block(as_object(block["reasoningContent"])))
    return build_thoughtful_message(text, calls, thought)


def _thinking_block(content: JsonObject) -> JsonObject:
    if "redactedContent" in content:
        return {"type": "redacted_thinking", "data": content["redactedContent"]}
    text = as_object(content.get("reasoningText"))
    block: JsonObject = {"type": "thinking", "thinking": as_text(text.get("text"))}
    return block | ({"signature": text["signature"]} if text.get("signature") else {})


class ConverseStreamParser(EventStreamParser):
    """Parses one streamed chat."""

    def __init__(self, reading: Reading, chunks: ChunkBuilder) -> None:
        """Start before the first byte.

        Args:
            reading: How to read it.
            chunks: Builds the chunks.
        """
        super().__init__(reading.provider)
        self._reading = reading
        self._chunks = chunks
        self._started = False
        self._stopped = False
        self._calls = 0
        self._thoughts = 0
        # The tool that is being called: its name, and whether it has arguments yet.
        self._tool: str | None = None
        self._arguments_seen = False
        self._thought: JsonObject = {}
        self._thinking = GrowingText(reading.provider)

    def take(self, kind: str, event: JsonObject) -> Iterator[JsonObject]:
        """Yield the chunks that one event gives; see `EventStreamParser`."""
        read = _EVENTS.get(kind)
        # Events that were not known when this was written carry nothing that is needed.
        if read is None:
            return
        if not self._started:
            if kind != "messageStart":
                raise MalformedAnswer(self._provider, "the stream did not begin with a message")
            self._started = True
        yield from read(self, event)

    def _start(self, _event: JsonObject) -> Iterator[JsonObject]:
        yield self._chunks.delta({"role": "assistant", "content": ""})

    def _open_block(self, event: JsonObject) -> Iterator[JsonObject]:
        use = as_object(as_object(event.get("start")).get("toolUse"))
        if not use:
            return
        self._tool = as_text(use.get("name"))
        self._arguments_seen = False
        if self._tool != self._reading.format_tool:
            call_id, name = as_text(use.get("toolUseId")), self._reading.names.decode(self._tool)
            yield self._chunks.delta(build_tool_start(self._calls, call_id, name))

    def _grow_block(self, event: JsonObject) -> Iterator[JsonObject]:
        delta = as_object(event.get("delta"))
        if text := as_text(delta.get("text")):
            yield self._chunks.delta({"content": text})
        if fragment := as_text(as_object(delta.get("toolUse")).get("input")):
            yield from self._arguments(fragment)
        if isinstance(delta.get("reasoningContent"), dict):
            yield from self._think(as_object(delta["reasoningContent"]))

    def _arguments(self, fragment: str) -> Iterator[JsonObject]:
        self._arguments_seen = True
        if self._tool == self._reading.format_tool:
            yield self._chunks.delta({"content": fragment})
        else:
            yield self._chunks.delta(build_tool_fragment(self._calls, fragment))

    def _think(self, content: JsonObject) -> Iterator[JsonObject]:
        if "redactedContent" in content:
            self._thinking.take()
            self._thought = {"type": "redacted_thinking", "data": content["redactedContent"]}
            return
        block = self._thought or {"type": "thinking", "thinking": ""}
        text = as_text(content.get("text"))
        self._thinking.add(text)
        if content.get("signature"):
            block["signature"] = content["signature"]
        self._thought = block
        if text:
            yield self._chunks.delta({"reasoning_content": text})

    def _close_block(self, _event: JsonObject) -> Iterator[JsonObject]:
        if self._tool is not None:
            if not self._arguments_seen:
                yield from self._arguments("{}")
            self._calls += self._tool != self._reading.format_tool
            self._tool = None
        if self._thought:
            if thinking := self._thinking.take():
                self._thought["thinking"] = thinking
            block = {"index": self._thoughts, **self._thought}
            self._thought = {}
            self._thoughts += 1
            yield self._chunks.delta({"thinking_blocks": [block]})

    def _stop(self, event: JsonObject) -> Iterator[JsonObject]:
        reason = as_text(event.get("stopReason"))
        finish, more = _read_reason(self._provider, reason, has_calls=self._calls > 0)
        self._stopped = True
        yield self._chunks.delta({}, finish, more=more)

    def _end(self, event: JsonObject) -> Iterator[JsonObject]:
        usage = parse_converse_usage(event.get("usage"))
        self.usage = parse_usage({"usage": usage})
        if not self._stopped:
            raise StreamTruncated(self._provider, "the stream ended without a stop reason")
        self.ended = True
        yield self._chunks.usage(usage)


_EventReader = Callable[[ConverseStreamParser, JsonObject], Iterator[JsonObject]]
_EVENTS: Mapping[str, _EventReader] = {
    "messageStart": ConverseStreamParser._start,  # noqa: SLF001 - the class's own table
    "contentBlockStart": ConverseStreamParser._open_block,  # noqa: SLF001
    "contentBlockDelta": ConverseStreamParser._grow_block,  # noqa: SLF001
    "contentBlockStop": ConverseStreamParser._close_block,  # noqa: SLF001
    "messageStop": ConverseStreamParser._stop,  # noqa: SLF001
    "metadata": ConverseStreamParser._end,  # noqa: SLF001
}
