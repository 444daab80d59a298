"""Passes requests of the Messages API to Anthropic, and what is read beside; see `../passage.py`.

API: https://docs.anthropic.com/en/api/messages. Thoughts without a signature are another model's,
which an answer before this one had; the API refuses them.
"""

from collections.abc import Callable, Iterator

from modelplane.adapters.providers.base import Passage, StreamParser
from modelplane.adapters.providers.canonical.json_values import as_object, as_objects
from modelplane.adapters.providers.canonical.sse_stream import SseStreamParser
from modelplane.adapters.providers.errors import AdapterError, MalformedAnswer, StreamTruncated
from modelplane.adapters.providers.passage import encode, name_model, with_forwarded
from modelplane.adapters.providers.route import Route
from modelplane.adapters.providers.types import (
    HttpRequest,
    JsonObject,
    NativeRequest,
    Plan,
    Usage,
    as_count,
)

PROTOCOL = "anthropic/v1/messages"
FORWARDED = ("anthropic-beta", "anthropic-version")
# No field of a request that counts.
_OF_ANSWERS = ("max_tokens", "stream")
# That a message has to begin before.
_EVENTS = frozenset(
    {
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    }
)


class MessagesReading(Passage):
    """What is the same for every service that hosts Claude: how its answers are read."""

    __slots__ = ("_provider", "_reported")

    def __init__(self, provider: str, reported: Callable[[JsonObject], AdapterError]) -> None:
        """Read answers.

        Args:
            provider: Name that errors carry.
            reported: Returns the error that an answer, or an event, reports.
        """
        self._provider = provider
        self._reported = reported

    def usage(self, answer: JsonObject) -> Usage | None:
        """Return the usage in a whole answer; see `Passage`."""
        counts = answer.get("usage")
        return _read_usage(counts) if isinstance(counts, dict) else None

    def error(self, answer: JsonObject) -> AdapterError | None:
        """Return the error that an answer is; see `Passage`."""
        return self._reported(answer) if "error" in answer else None

    def parser(self) -> StreamParser:
        """Return a parser beside a stream; see `Passage`."""
        return _MessagesReader(self._provider, self._reported)


class AnthropicPassage(MessagesReading):
    """Passes requests to Anthropic itself."""

    __slots__ = ("_headers", "_route")

    def __init__(self, route: Route, reported: Callable[[JsonObject], AdapterError]) -> None:
        """Pass requests along a route; `reported` as of `MessagesReading`."""
        super().__init__(route.provider, reported)
        self._route = route
        self._headers = {
            **route.signer.headers,
            "content-type": "application/json",
            **route.headers,
        }

    def plan(self, native: NativeRequest, *, stream: bool) -> Plan:
        """Return the request; see `Passage`."""
        del stream
        route = self._route
        native, adapted = without_unsigned(native)
        body = name_model(route.provider, native, route.model)
        headers = with_forwarded(self._headers, native, FORWARDED)
        return Plan((HttpRequest(route.provider, route.url, headers, body),), adapted)

    def plan_count(self, native: NativeRequest) -> Plan:
        """Return the request that counts; see `Passage`."""
        route = self._route
        body = encode(route.provider, {**counted_body(native), "model": route.model})
        headers = with_forwarded(self._headers, native, FORWARDED)
        url, question, parameters = route.url.partition("?")
        url = f"{url}/count_tokens{question}{parameters}"
        return Plan((HttpRequest(route.provider, url, headers, body),))


class _MessagesReader(SseStreamParser):
    """Reads how much a stream says, what it uses, and how it ends."""

    def __init__(self, provider: str, reported: Callable[[JsonObject], AdapterError]) -> None:
        super().__init__(provider)
        self._reported = reported
        self._counts: JsonObject = {}
        self._begun = self._stopped = False

    def take(self, event: JsonObject) -> Iterator[JsonObject]:
        """Yield what an event says, as a chunk; see `SseStreamParser`."""
        kind = event.get("type")
        if kind == "error" or "error" in event:
            raise self._reported(event)
        if not self._begun:
            if message := self._start(kind, event):
                yield {"model": message.get("model")}
        elif kind == "content_block_delta":
            # Most are such. Thoughts and arguments are no text of the answer.
            delta = event.get("delta")
            if isinstance(delta, dict) and "text" in delta:
                yield {"choices": [{"delta": {"content": delta["text"]}}]}
        else:
            self._note_end(kind, event)

    def _start(self, kind: object, event: JsonObject) -> JsonObject:
        """Return the message that begins; empty: an event that says nothing came before."""
        if kind == "message_start":
            self._begun = True
            message = as_object(event.get("message"))
            self._count(message)
            # It counts the output too, which has hardly begun.
            self.usage = Usage(_read_usage(self._counts).input_tokens) if self._counts else None
            return message or {"model": None}
        if kind in _EVENTS:
            raise MalformedAnswer(self._provider, "the stream did not begin with a message")
        return {}

    def _note_end(self, kind: object, event: JsonObject) -> None:
        if kind == "message_delta":
            self._count(event)
            self.usage = _read_usage(self._counts)
            self._stopped |= as_object(event.get("delta")).get("stop_reason") is not None
        elif kind == "message_stop":
            if not self._stopped:
                raise StreamTruncated(self._provider, "the stream ended without a stop reason")
            self.ended = True

    def _count(self, holder: JsonObject) -> None:
        usage = as_object(holder.get("usage"))
        self._counts |= {name: value for name, value in usage.items() if value is not None}


def _read_usage(counts: JsonObject) -> Usage:
    # The sum that `parse_message_usage` makes, without what nobody reads of it here.
    read = as_count(counts.get("input_tokens")) or 0
    cached: int | None = None
    if "cache_read_input_tokens" in counts:
        cached = as_count(counts["cache_read_input_tokens"]) or None
        read += cached or 0
    if "cache_creation_input_tokens" in counts:
        read += as_count(counts["cache_creation_input_tokens"]) or 0
    thinking: int | None = None
    if isinstance(detail := counts.get("output_tokens_details"), dict):
        thinking = as_count(detail.get("thinking_tokens")) or None
    return Usage(read, as_count(counts.get("output_tokens")) or 0, cached, thinking)


def counted_body(native: NativeRequest) -> JsonObject:
    """Return the body of a request that is only counted, without what says how to answer."""
    body = dict(without_unsigned(native)[0].body)
    for name in _OF_ANSWERS:
        body.pop(name, None)
    return body


def without_unsigned(native: NativeRequest) -> tuple[NativeRequest, tuple[str, ...]]:
    """Return a request without thoughts that have no signature, and what was adapted."""
    given = native.body.get("messages")
    if not isinstance(given, list) or not _has_unsigned(given):
        return native, ()
    messages = [
        {**message, "content": [block for block in blocks if not _is_unsigned(block)]}
        if (blocks := _blocks_of(message))
        else message
        for message in as_objects(given)
    ]
    body = {**native.body, "messages": messages}
    changed = NativeRequest(native.protocol, body, b"", native.headers)
    return changed, ("thinking=dropped where it has no signature",)


def _has_unsigned(messages: list[object]) -> bool:
    # No generator, and no call for what a user says: each request comes here.
    for message in messages:
        if isinstance(message, dict) and message.get("role") == "assistant":
            for block in _blocks_of(message):
                if _is_unsigned(block):
                    return True
    return False


def _blocks_of(message: JsonObject) -> list[object]:
    """Return what the assistant said in blocks, thoughts among them."""
    content = message.get("content")
    return content if message.get("role") == "assistant" and isinstance(content, list) else []


def _is_unsigned(block: object) -> bool:
    return (
        isinstance(block, dict) and block.get("type") == "thinking" and not block.get("signature")
    )
