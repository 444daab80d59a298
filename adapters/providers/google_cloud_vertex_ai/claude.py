"""Claude on Vertex AI: Anthropic's Messages API behind rawPredict.

API: https://docs.anthropic.com/en/api/claude-on-vertex-ai. The model is named in the URL, the
version of the API in the body, and images are sent inline. Errors come in Anthropic's form from
the model, in Google's from what stands before it.

Built by `provider.py`; `anthropic/messages.py` and `anthropic/answers.py` translate.
"""

from collections.abc import Callable, Mapping, Sequence

from modelplane.adapters.providers.anthropic.answers import MessagesStreamParser, parse_message
from modelplane.adapters.providers.anthropic.messages import (
    Dialect,
    build_messages_body,
    tool_names,
)
from modelplane.adapters.providers.anthropic.passage import (
    PROTOCOL,
    MessagesReading,
    counted_body,
    without_unsigned,
)
from modelplane.adapters.providers.anthropic.provider import classify_error, error_type
from modelplane.adapters.providers.base import Passage
from modelplane.adapters.providers.canonical.json_values import (
    parse_error_detail,
    parse_json_object,
)
from modelplane.adapters.providers.canonical.messages import read_image_urls
from modelplane.adapters.providers.errors import AdapterError, parse_retry_after
from modelplane.adapters.providers.google_cloud_vertex_ai.adapter import Target, VertexAdapter
from modelplane.adapters.providers.google_cloud_vertex_ai.errors import build_error
from modelplane.adapters.providers.passage import with_forwarded
from modelplane.adapters.providers.refusals import claude_model
from modelplane.adapters.providers.types import (
    HttpAnswer,
    HttpRequest,
    Image,
    JsonObject,
    NativeRequest,
    Plan,
    Query,
)

_VERSION = "vertex-2023-10-16"
# The version of the API is in the body.
_FORWARDED = ("anthropic-beta",)


class ClaudeAdapter(VertexAdapter):
    """Translates chats."""

    __slots__ = ("_dialect", "_passage")

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self._passage = _ClaudePassage(self, self._reported)
        self._dialect = Dialect(target.provider, version=_VERSION, takes=claude_model(target.model))

    @property
    def provider(self) -> str:
        """Name that errors carry."""
        return self._target.provider

    def passage(self, protocol: str) -> Passage | None:
        """Return how requests of Anthropic's API pass; see `Adapter`."""
        return self._passage if protocol == PROTOCOL else None

    def image_urls(self, query: Query) -> Sequence[str]:
        """Return the URLs of all images; see `Adapter`."""
        return read_image_urls(self._target.provider, query.body)

    def plan(self, query: Query, images: Mapping[str, Image]) -> Plan:
        """Return the request; see `Adapter`."""
        built = build_messages_body(query, self._dialect, images)
        verb = "streamRawPredict" if query.stream else "rawPredict"
        request = self.build_request(verb, built.body)
        if built.betas:
            headers = {**request.headers, "anthropic-beta": ",".join(built.betas)}
            request = HttpRequest(request.provider, request.url, headers, request.body)
        return Plan((request,), built.adapted)

    def build_count(self, body: JsonObject) -> HttpRequest:
        """Return the request that counts the tokens of a body.

        Raises:
            RequestRefused: The body cannot be encoded.
        """
        body = {"anthropic_version": _VERSION, **body, "model": self._target.model}
        request = self.build_request("rawPredict", body)
        models, _, _ = request.url.rpartition("/")
        request.url = f"{models}/count-tokens:rawPredict"
        return request

    def parse_answers(self, query: Query, answers: Sequence[HttpAnswer]) -> JsonObject:
        """Return the answer; see `Adapter`."""
        message = parse_json_object(self._target.provider, answers[0].body)
        if "error" in message:
            raise self._reported(message)
        return parse_message(self._target.provider, message, tool_names(query), self._now())

    def stream_parser(self, query: Query) -> MessagesStreamParser:
        """Return a parser for one streamed answer."""
        return MessagesStreamParser(
            self._target.provider, tool_names(query), self._now(), self._reported
        )

    def parse_error(self, answer: HttpAnswer) -> AdapterError:
        """Return the error in a failed response; see `Adapter`."""
        detail = parse_error_detail(answer)
        kind = error_type(detail)
        if kind is None:
            return build_error(self._target.provider, detail, answer)
        cls = classify_error(kind, answer.status)
        return cls(self._target.provider, detail, parse_retry_after(answer.headers))

    def _reported(self, body: JsonObject) -> AdapterError:
        """Return the error that an event, or an answer with status 200, carries."""
        kind = error_type(body)
        if kind is None:
            return build_error(self._target.provider, body)
        return classify_error(kind)(self._target.provider, body)

    def _now(self) -> int:
        return int(self._target.clock())


class _ClaudePassage(MessagesReading):
    """Passes requests of Anthropic's API: the model is in the URL, the version in the body."""

    __slots__ = ("_adapter",)

    def __init__(
        self, adapter: ClaudeAdapter, reported: Callable[[JsonObject], AdapterError]
    ) -> None:
        super().__init__(adapter.provider, reported)
        self._adapter = adapter

    def plan(self, native: NativeRequest, *, stream: bool) -> Plan:
        """Return the request; see `Passage`."""
        # Its fields are other ones here.
        native.raw = b""
        native, adapted = without_unsigned(native)
        body = {"anthropic_version": _VERSION, **native.body}
        body.pop("model", None)
        request = self._adapter.build_request("streamRawPredict" if stream else "rawPredict", body)
        request.headers = with_forwarded(request.headers, native, _FORWARDED)
        return Plan((request,), adapted)

    def plan_count(self, native: NativeRequest) -> Plan:
        """Return the request that counts, to a model of that name; see `Passage`."""
        return Plan((self._adapter.build_count(counted_body(native)),))
