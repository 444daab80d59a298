"""Passes requests of the Messages API to Anthropic, and what is read beside; see `../passage.py`.

API: https://docs.anthropic.com/en/api/messages. Thoughts without a signature are another model's,
which an answer before this one had; the API refuses them.
"""

from collections.abc import Callable

from modelplane.adapters.providers.anthropic.answers import MessagesStreamParser
from modelplane.adapters.providers.base import Passage, StreamParser
from modelplane.adapters.providers.canonical.json_values import as_objects
from modelplane.adapters.providers.canonical.tool_names import ToolNames
from modelplane.adapters.providers.errors import AdapterError
from modelplane.adapters.providers.passage import encode, forwarded, name_model
from modelplane.adapters.providers.refusals import CLAUDE_NAMES
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
_NO_NAMES = ToolNames((), CLAUDE_NAMES)


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
        if not isinstance(counts, dict):
            return None
        # The sum that `parse_message_usage` makes, without what nobody reads of it here.
        cached = as_count(counts.get("cache_read_input_tokens")) or 0
        written = as_count(counts.get("cache_creation_input_tokens")) or 0
        detail = counts.get("output_tokens_details")
        thinking = as_count(detail.get("thinking_tokens")) if isinstance(detail, dict) else None
        return Usage(
            (as_count(counts.get("input_tokens")) or 0) + cached + written,
            as_count(counts.get("output_tokens")) or 0,
            cached or None,
            thinking or None,
        )

    def error(self, answer: JsonObject) -> AdapterError | None:
        """Return the error that an answer is; see `Passage`."""
        return self._reported(answer) if "error" in answer else None

    def parser(self) -> StreamParser:
        """Return a parser beside a stream; see `Passage`."""
        return MessagesStreamParser(self._provider, _NO_NAMES, 0, self._reported)


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
        headers = {**self._headers, **forwarded(native, FORWARDED)}
        return Plan((HttpRequest(route.provider, route.url, headers, body),), adapted)

    def plan_count(self, native: NativeRequest) -> Plan:
        """Return the request that counts; see `Passage`."""
        route = self._route
        body = encode(route.provider, {**counted_body(native), "model": route.model})
        headers = {**self._headers, **forwarded(native, FORWARDED)}
        url, question, parameters = route.url.partition("?")
        url = f"{url}/count_tokens{question}{parameters}"
        return Plan((HttpRequest(route.provider, url, headers, body),))


def counted_body(native: NativeRequest) -> JsonObject:
    """Return the body of a request that is only counted, without what says how to answer."""
    body = dict(without_unsigned(native)[0].body)
    for name in _OF_ANSWERS:
        body.pop(name, None)
    return body


def without_unsigned(native: NativeRequest) -> tuple[NativeRequest, tuple[str, ...]]:
    """Return a request without thoughts that have no signature, and what was adapted."""
    given = as_objects(native.body.get("messages"))
    if not _has_unsigned(given):
        return native, ()
    messages = [
        {**message, "content": [block for block in blocks if not _is_unsigned(block)]}
        if (blocks := _blocks_of(message))
        else message
        for message in given
    ]
    body = {**native.body, "messages": messages}
    changed = NativeRequest(native.protocol, body, b"", native.headers)
    return changed, ("thinking=dropped where it has no signature",)


def _has_unsigned(messages: list[JsonObject]) -> bool:
    # No generator: each request comes here.
    for message in messages:
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
