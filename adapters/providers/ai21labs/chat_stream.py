"""Parses a chat that a Jamba model streams as server-sent events; ends with `[DONE]`.

Usage comes beside the last choices, and is set apart. Adds up to what `chat.py` makes of
the whole answer.
"""

from collections.abc import Callable, Iterator

from modelplane.adapters.providers.ai21labs.chat import read_finish, read_usage
from modelplane.adapters.providers.canonical.answers import build_tool_call
from modelplane.adapters.providers.canonical.bounds import MAX_CALLS, MAX_CHOICES, check_count
from modelplane.adapters.providers.canonical.json_values import as_object, as_objects, as_text
from modelplane.adapters.providers.canonical.sse_stream import SseStreamParser
from modelplane.adapters.providers.errors import AdapterError, StreamTruncated
from modelplane.adapters.providers.types import JsonObject, Query, as_count, parse_usage

_DONE = b"[DONE]"


class JambaStreamParser(SseStreamParser):
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
        self._shared: JsonObject = {
            "id": "",
            "object": "chat.completion.chunk",
            "created": created,
        }
        self._calls: dict[int, list[str]] = {}
        self._open: set[int] = set()
        self._seen_choice = False
        self._empty_calls: set[tuple[int, int]] = set()
        self._counts: JsonObject = {}
        # Characters so far.
        self._said = 0

    def take(self, event: JsonObject) -> Iterator[JsonObject]:
        """Yield the chunks that one event gives; see `SseStreamParser`."""
        if "choices" not in event:
            raise self._reported(event)
        self._shared["id"] = as_text(event.get("id")) or self._shared["id"]
        if counts := as_object(event.get("usage")):
            self._counts = counts
            self.usage = parse_usage(event)
        for choice in as_objects(event["choices"]):
            yield {**self._shared, "choices": [self._choice(choice)]}

    def _read(self, data: bytes) -> Iterator[JsonObject]:
        if data == _DONE and not self.ended:
            yield self._end()
        else:
            yield from super()._read(data)

    def _end(self) -> JsonObject:
        if self._open or not self._seen_choice:
            raise StreamTruncated(self._provider, "the stream ended before the answer was complete")
        self.ended = True
        usage = read_usage(self._query, self._counts, self._said)
        return {**self._shared, "choices": [], "usage": usage}

    def _choice(self, choice: JsonObject) -> JsonObject:
        index = as_count(choice.get("index")) or 0
        delta = as_object(choice.get("delta"))
        self._seen_choice = True
        read: JsonObject = {}
        if delta.get("role"):
            read["role"] = "assistant"
        if text := as_text(delta.get("content")):
            read["content"] = text
            self._said += len(text)
        calls = [self._call(index, call) for call in as_objects(delta.get("tool_calls"))]
        ending: JsonObject = {"finish_reason": None}
        if reason := choice.get("finish_reason"):
            ending = read_finish(reason)
            calls += self._fill_empty_calls(index)
            self._open.discard(index)
        else:
            self._open.add(index)
            check_count(self._provider, len(self._open), MAX_CHOICES, "choices")
        if calls:
            read["tool_calls"] = calls
        return {"index": index, "delta": read, "logprobs": None, **ending}

    def _call(self, choice: int, call: JsonObject) -> JsonObject:
        """Return the delta of a call; one without an index is known by its id."""
        known = self._calls.setdefault(choice, [])
        check_count(self._provider, len(self._calls), MAX_CHOICES, "choices")
        call_id = as_text(call.get("id"))
        function = as_object(call.get("function"))
        arguments = as_text(function.get("arguments"))
        self._said += len(arguments)
        if call_id and call_id not in known:
            known.append(call_id)
            check_count(self._provider, len(known), MAX_CALLS, "tool calls")
            index = len(known) - 1
            read = build_tool_call(call_id, as_text(function.get("name")), arguments)
            self._empty_calls.add((choice, index))
        else:
            index = known.index(call_id) if call_id else as_count(call.get("index")) or 0
            read = {"function": {"arguments": arguments}}
        if arguments:
            self._empty_calls.discard((choice, index))
        return {"index": index, **read}

    def _fill_empty_calls(self, choice: int) -> list[JsonObject]:
        """Return an empty object for each call without arguments, as in a whole answer."""
        indexes = sorted(index for owner, index in self._empty_calls if owner == choice)
        self._said += len("{}") * len(indexes)
        return [{"index": index, "function": {"arguments": "{}"}} for index in indexes]
