"""Passes requests of the Gemini API to Vertex AI, which has the same form; see `../../passage.py`.

API: https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference. Used by
`adapters.py`.
"""

from collections.abc import Callable

from modelplane.adapters.providers.base import Passage, StreamParser
from modelplane.adapters.providers.canonical.json_values import as_object
from modelplane.adapters.providers.canonical.tool_names import ToolNames
from modelplane.adapters.providers.errors import AdapterError
from modelplane.adapters.providers.google_cloud_vertex_ai.adapter import Target
from modelplane.adapters.providers.google_cloud_vertex_ai.errors import build_error
from modelplane.adapters.providers.google_cloud_vertex_ai.gemini.answers import (
    GeminiStreamParser,
)
from modelplane.adapters.providers.google_cloud_vertex_ai.gemini.fitting import fit_body
from modelplane.adapters.providers.google_cloud_vertex_ai.gemini.reader import GeminiReader
from modelplane.adapters.providers.google_cloud_vertex_ai.gemini.tools import tool_names
from modelplane.adapters.providers.types import (
    HttpRequest,
    JsonObject,
    NativeRequest,
    Plan,
    Query,
    Task,
    Usage,
    as_count,
)

_COUNTED = "gemini/v1/countTokens"
PROTOCOLS = frozenset({"gemini/v1/generateContent", "gemini/v1/streamGenerateContent", _COUNTED})
# What of a request a count takes.
_OF_COUNTS = ("contents", "systemInstruction", "tools", "generationConfig")


class GeminiPassage(Passage):
    """Passes requests to one model."""

    __slots__ = ("_names", "_request", "_target")

    def __init__(self, target: Target, request: Callable[[str, JsonObject], HttpRequest]) -> None:
        """Pass requests.

        Args:
            target: The model.
            request: Returns the request of a verb with a body.
        """
        self._target = target
        self._request = request
        self._names: ToolNames = tool_names(Query({}, stream=False))

    def plan(self, native: NativeRequest, *, stream: bool) -> Plan:
        """Return the request; see `Passage`."""
        # Its fields are other ones here.
        native.raw = b""
        body, adapted = fit_body(native.body, self._target.model)
        body.pop("model", None)
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return Plan((self._request(verb, body),), adapted)

    def plan_count(self, native: NativeRequest) -> Plan:
        """Return the request that counts; see `Passage`."""
        given = as_object(native.body.get("generateContentRequest")) or native.body
        body = {name: value for name, value in given.items() if name in _OF_COUNTS}
        body, _ = fit_body(body, self._target.model)
        return Plan((self._request("countTokens", body),))

    def counted(self, answer: JsonObject) -> int | None:
        """Return the number of tokens; see `Passage`."""
        return as_count(answer.get("totalTokens"))

    def usage(self, answer: JsonObject) -> Usage | None:
        """Return the usage in a whole answer; see `Passage`."""
        counts = as_object(answer.get("usageMetadata"))
        if not counts:
            return None
        thought = as_count(counts.get("thoughtsTokenCount")) or 0
        return Usage(
            as_count(counts.get("promptTokenCount")),
            (as_count(counts.get("candidatesTokenCount")) or 0) + thought,
            as_count(counts.get("cachedContentTokenCount")),
            thought or None,
        )

    def error(self, answer: JsonObject) -> AdapterError | None:
        """Return the error that an answer is; see `Passage`."""
        return build_error(self._target.provider, answer) if "error" in answer else None

    def parser(self) -> StreamParser:
        """Return a parser beside a stream; see `Passage`."""
        target = self._target
        reader = GeminiReader(target.provider, self._names, target.clock)
        return GeminiStreamParser(target.provider, Task.CHAT, reader, 0)
