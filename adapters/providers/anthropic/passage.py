"""Passes requests of the Messages API to Anthropic, and what is read beside; see `../passage.py`.

API: https://docs.anthropic.com/en/api/messages. Thoughts without a signature are another model's,
which an answer before this one had; the API refuses them.
"""

from collections.abc import Callable

from modelplane.adapters.providers.anthropic.answers import (
    MessagesStreamParser,
    parse_message_usage,
)
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
    parse_usage,
)

PROTOCOL = "anthropic/v1/messages"
FORWARDED = ("anthropic-beta", "anthropic-version")
# As clients write it, with a blank or without.
_UNSIGNED = (b'"signature":""', b'"signature": ""')
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
        if "usage" not in answer:
            return None
        return parse_usage({"usage": parse_message_usage(answer["usage"])})

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
        native, adapted = without_unsigned(route.provider, native)
        body = name_model(route.provider, native, route.model)
        headers = {**self._headers, **forwarded(native, FORWARDED)}
        return Plan((HttpRequest(route.provider, route.url, headers, body),), adapted)


def without_unsigned(provider: str, native: NativeRequest) -> tuple[NativeRequest, tuple[str, ...]]:
    """Return a request without thoughts that have no signature, and what was adapted."""
    if not any(mark in native.raw for mark in _UNSIGNED):
        return native, ()
    messages = [
        {**message, "content": [block for block in content if not _is_unsigned(block)]}
        if isinstance(content := message.get("content"), list)
        else message
        for message in as_objects(native.body.get("messages"))
    ]
    body = {**native.body, "messages": messages}
    changed = NativeRequest(native.protocol, body, encode(provider, body), native.headers)
    return changed, ("thinking=dropped where it has no signature",)


def _is_unsigned(block: object) -> bool:
    return (
        isinstance(block, dict) and block.get("type") == "thinking" and not block.get("signature")
    )
