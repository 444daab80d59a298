"""Claude at Bedrock, asked in the form of Anthropic's own API; see `../passage.py`.

API: https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages.html.
The model is in the URL, version and betas are in the body, and a stream's events come inside of
Bedrock's frames, out of which they are taken. Used by `chat.py`.
"""

from base64 import b64encode
from collections.abc import Callable, Iterator

import orjson

from modelplane.adapters.providers.amazon_bedrock.event_stream import (
    EventStreamParser,
    read_model_event,
)
from modelplane.adapters.providers.anthropic.passage import (
    MessagesReading,
    counted_body,
    without_unsigned,
)
from modelplane.adapters.providers.anthropic.provider import classify_error, error_type
from modelplane.adapters.providers.base import StreamParser
from modelplane.adapters.providers.canonical.json_values import as_text
from modelplane.adapters.providers.errors import AdapterError
from modelplane.adapters.providers.passage import encode
from modelplane.adapters.providers.types import (
    HttpRequest,
    JsonObject,
    NativeRequest,
    Plan,
    as_count,
)

_VERSION = "bedrock-2023-05-31"
_BETA = "anthropic-beta"
# What Bedrock adds of its own to the last event.
_METRICS = "amazon-bedrock-invocationMetrics"
# Said by the URL.
_ELSEWHERE = ("model", "stream")


class ClaudePassage(MessagesReading):
    """Passes requests of Anthropic's API to one model."""

    __slots__ = ("_request",)

    def __init__(self, provider: str, request: Callable[[str, JsonObject], HttpRequest]) -> None:
        """Pass requests.

        Args:
            provider: Name that errors carry.
            request: Returns the request of an operation with a body.
        """
        super().__init__(provider, lambda event: classify_error(error_type(event))(provider, event))
        self._request = request

    def plan(self, native: NativeRequest, *, stream: bool) -> Plan:
        """Return the request; see `Passage`."""
        # Its fields are other ones here.
        native.raw = b""
        native, adapted = without_unsigned(native)
        body = {"anthropic_version": _VERSION, **native.body}
        for name in _ELSEWHERE:
            body.pop(name, None)
        if betas := [beta.strip() for beta in native.headers.get(_BETA, "").split(",") if beta]:
            body["anthropic_beta"] = betas
        operation = "invoke-with-response-stream" if stream else "invoke"
        return Plan((self._request(operation, body),), adapted)

    def plan_count(self, native: NativeRequest) -> Plan:
        """Return the request that counts, in which the model's own is a text; see `Passage`."""
        # Of no effect on the count, and required.
        own = {"anthropic_version": _VERSION, "max_tokens": 1, **counted_body(native)}
        own.pop("model", None)
        encoded = b64encode(encode(self._provider, own)).decode()
        body: JsonObject = {"input": {"invokeModel": {"body": encoded}}}
        return Plan((self._request("count-tokens", body),))

    def counted(self, answer: JsonObject) -> int | None:
        """Return the number of tokens; see `Passage`."""
        return as_count(answer.get("inputTokens"))

    def parser(self) -> StreamParser:
        """Return a parser that takes the events out of their frames; see `Passage`."""
        return _FramedParser(self._provider, super().parser())

    def passed(self, parser: StreamParser, data: bytes) -> bytes:
        """Return the events that were in the frames; see `Passage`."""
        del data
        return parser.take_events() if isinstance(parser, _FramedParser) else b""

    def before_error(self, parser: StreamParser, data: bytes, error: AdapterError) -> bytes:
        """Return the events that were in the frames before; see `Passage`."""
        del error
        return self.passed(parser, data)


class _FramedParser(EventStreamParser):
    """Takes Anthropic's events out of Bedrock's frames."""

    def __init__(self, provider: str, inner: StreamParser) -> None:
        super().__init__(provider)
        self._inner = inner
        self._events: list[bytes] = []

    def take(self, kind: str, event: JsonObject) -> Iterator[JsonObject]:
        """Yield the chunks of one event; see `EventStreamParser`."""
        if kind != "chunk":
            return
        own = read_model_event(self._provider, event)
        own.pop(_METRICS, None)
        name = as_text(own.get("type")).encode()
        framed = b"event: %b\ndata: %b\n\n" % (name, orjson.dumps(own))
        yield from self._inner.feed(framed)
        self._events.append(framed)
        self.usage, self.ended = self._inner.usage, self._inner.ended

    def take_events(self) -> bytes:
        """Return the events since the last call."""
        events, self._events = self._events, []
        return b"".join(events)
