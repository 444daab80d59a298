"""Passes requests of the Responses API to OpenAI and Azure; see `../passage.py`.

API: https://platform.openai.com/docs/api-reference/responses and, for Azure,
https://learn.microsoft.com/azure/ai-foundry/openai/how-to/responses. Used by `provider.py`.
"""

from collections.abc import Callable, Iterator, Mapping

from modelplane.adapters.providers.base import Passage, StreamParser
from modelplane.adapters.providers.canonical.json_values import as_object, as_text
from modelplane.adapters.providers.canonical.sse_stream import SseStreamParser
from modelplane.adapters.providers.errors import AdapterError
from modelplane.adapters.providers.passage import name_model, with_forwarded
from modelplane.adapters.providers.types import (
    HttpRequest,
    JsonObject,
    NativeRequest,
    Plan,
    Usage,
    as_count,
)

PROTOCOL = "openai/v1/responses"
_FORWARDED = ("openai-beta",)
# Before the answer has begun: what fails by then may still be asked of another entity.
_PRELUDE = frozenset({"response.created", "response.in_progress", "response.queued"})
_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})


class ResponsesPassage(Passage):
    """Passes requests to one model."""

    __slots__ = ("_headers", "_model", "_provider", "_reported", "_url")

    def __init__(
        self,
        provider: str,
        url: str,
        model: str,
        headers: Mapping[str, str],
        reported: Callable[[JsonObject], AdapterError],
    ) -> None:
        """Pass requests.

        Args:
            provider: Name that errors carry.
            url: URL of the route.
            model: The provider's name for the model.
            headers: Headers of every request.
            reported: Returns the error that an answer, or an event, reports.
        """
        self._provider = provider
        self._url = url
        self._model = model
        self._headers = headers
        self._reported = reported

    def plan(self, native: NativeRequest, *, stream: bool) -> Plan:
        """Return the request; see `Passage`."""
        del stream
        body = name_model(self._provider, native, self._model)
        headers = with_forwarded(self._headers, native, _FORWARDED)
        return Plan((HttpRequest(self._provider, self._url, headers, body),))

    def usage(self, answer: JsonObject) -> Usage | None:
        """Return the usage in a whole answer; see `Passage`."""
        return _read_usage(answer.get("usage"))

    def error(self, answer: JsonObject) -> AdapterError | None:
        """Return the error that an answer is; see `Passage`."""
        failed = answer.get("status") == "failed" or answer.get("object") != "response"
        return self._reported(answer) if failed and answer.get("error") else None

    def parser(self) -> StreamParser:
        """Return a parser beside a stream; see `Passage`."""
        return _ResponsesParser(self._provider, self._reported)


class _ResponsesParser(SseStreamParser):
    """Reads how much a stream says, what it uses, and how it ends."""

    def __init__(self, provider: str, reported: Callable[[JsonObject], AdapterError]) -> None:
        super().__init__(provider)
        self._reported = reported
        self._begun = False

    def take(self, event: JsonObject) -> Iterator[JsonObject]:
        """Yield what an event says, as a chunk; see `SseStreamParser`."""
        kind = as_text(event.get("type"))
        response = as_object(event.get("response"))
        if kind == "error" or (kind == "response.failed" and not self._begun):
            raise self._reported({"error": response.get("error") or event.get("error") or event})
        if kind in _ENDS:
            self.usage = _read_usage(response.get("usage"))
            self.ended = True
        if kind not in _PRELUDE:
            self._begun = True
            text = as_text(event.get("delta")) if kind.endswith(".delta") else ""
            yield {"model": response.get("model"), "choices": [{"delta": {"content": text}}]}


def _read_usage(usage: object) -> Usage | None:
    counts = as_object(usage)
    if not counts:
        return None
    read, written = (
        as_object(counts.get(f"{name}_tokens_details")) for name in ("input", "output")
    )
    return Usage(
        as_count(counts.get("input_tokens")),
        as_count(counts.get("output_tokens")),
        as_count(read.get("cached_tokens")),
        as_count(written.get("reasoning_tokens")),
    )
