"""Parses a chat that Cohere's v2 API streams as server-sent events; ends with `message-end`.

Adds up to what `chat.py` makes of the whole answer.
"""

from collections.abc import Callable, Iterator

from modelplane.adapters.providers.canonical.answers import (
    ChunkBuilder,
    build_tool_fragment,
    build_tool_start,
)
from modelplane.adapters.providers.canonical.json_values import as_object, as_objects, as_text
from modelplane.adapters.providers.canonical.sse_stream import SseStreamParser
from modelplane.adapters.providers.cohere.chat import REASONING_BREAK, prompt_texts, read_logprobs
from modelplane.adapters.providers.cohere.conventions import read_counts, read_finish, read_usage
from modelplane.adapters.providers.errors import AdapterError, ProviderFailed
from modelplane.adapters.providers.types import JsonObject, Query

_DONE = b"[DONE]"


class CohereChatStreamParser(SseStreamParser):
    """Parses one streamed chat; see `StreamParser`."""

    def __init__(
        self,
        provider: str,
        query: Query,
        created: int,
        reported: Callable[[JsonObject], AdapterError],
    ) -> None:
        """Start before the first byte.

        Args:
            provider: Name that errors carry.
            query: The query that is answered, to estimate what is not counted.
            created: Seconds since the epoch, for all chunks.
            reported: Returns the error in an event that is no part of an answer.
        """
        super().__init__(provider)
        self._query = query
        self._reported = reported
        self._created = created
        self._chunks = ChunkBuilder("", created)
        self._call = -1
        self._call_is_empty = False
        self._thought = False
        # Characters so far.
        self._said = 0

    def take(self, event: JsonObject) -> Iterator[JsonObject]:
        """Yield the chunks that one event gives; see `SseStreamParser`."""
        kind = event.get("type")
        if not isinstance(kind, str):
            raise self._reported(event)
        delta = as_object(event.get("delta"))
        message = as_object(delta.get("message"))
        if kind == "message-start":
            self._chunks = ChunkBuilder(as_text(event.get("id")), self._created)
            yield self._chunks.delta({"role": "assistant", "content": ""})
        elif kind == "message-end":
            yield from self._end(delta)
        elif kind.startswith("content-"):
            yield from self._content(event, as_object(message.get("content")))
        elif kind.startswith("tool-call-"):
            yield from self._tool_call(kind, as_object(message.get("tool_calls")))
        else:
            yield from self._extra(message)

    def _read(self, data: bytes) -> Iterator[JsonObject]:
        # OpenAI's end marker, which a proxy may add, says nothing here.
        if data != _DONE:
            yield from super()._read(data)

    def _content(self, event: JsonObject, content: JsonObject) -> Iterator[JsonObject]:
        logprobs = event.get("logprobs")
        items = read_logprobs([logprobs] if isinstance(logprobs, dict) else [])
        if thinking := as_text(content.get("thinking")):
            self._thought = True
            yield self._say("reasoning_content", thinking, logprobs=items)
        elif (text := as_text(content.get("text"))) or items:
            yield self._say("content", text, logprobs=items)

    def _extra(self, message: JsonObject) -> Iterator[JsonObject]:
        if plan := as_text(message.get("tool_plan")):
            if self._thought:
                self._thought = False
                yield self._say("reasoning_content", REASONING_BREAK)
            yield self._say("reasoning_content", plan)
        if citation := message.get("citations"):
            yield self._chunks.delta({"citations": [citation]})

    def _tool_call(self, kind: str, call: JsonObject) -> Iterator[JsonObject]:
        function = as_object(call.get("function"))
        arguments = as_text(function.get("arguments"))
        if kind == "tool-call-start":
            self._call += 1
            self._call_is_empty = True
            name = as_text(function.get("name"))
            yield self._chunks.delta(build_tool_start(self._call, as_text(call.get("id")), name))
        elif kind == "tool-call-end" and self._call_is_empty:
            # A function without arguments has an empty object of them, as in a whole answer.
            arguments = "{}"
        if arguments:
            self._call_is_empty = False
            self._said += len(arguments)
            yield self._chunks.delta(build_tool_fragment(self._call, arguments))

    def _end(self, delta: JsonObject) -> Iterator[JsonObject]:
        counts = as_object(delta.get("usage"))
        self.usage = read_counts(counts)
        reason = delta.get("finish_reason")
        detail = self._reported(delta).detail
        if delta.get("error"):
            # Whatever the reason is, an answer with an error is none.
            read_finish(self._provider, reason, detail)
            raise ProviderFailed(self._provider, detail)
        ending = read_finish(self._provider, reason, detail)
        yield self._with_choice(self._chunks.delta({}), ending)
        usage = read_usage(counts, prompt_texts(self._query), [self._said])
        self.ended = True
        yield self._chunks.usage(usage)

    def _say(self, field: str, text: str, **fields: object) -> JsonObject:
        self._said += len(text)
        return self._with_choice(self._chunks.delta({field: text}), fields)

    def _with_choice(self, chunk: JsonObject, fields: JsonObject) -> JsonObject:
        choices = as_objects(chunk["choices"])
        choices[0].update(fields)
        return chunk
