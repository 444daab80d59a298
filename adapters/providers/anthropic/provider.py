"""Anthropic: chat through the Messages API, completions through the legacy one where it is.

Models that the legacy API does not have get a completion's prompt as one message.

API: https://docs.anthropic.com/en/api. Bodies are built by `messages.py` and `complete.py`, answers
parsed by `answers.py`; other services that host Claude use those too. Images with a URL are
fetched by Anthropic itself.

Built by `registry.py`; sent by `http/transport.py`.
"""

from collections.abc import Mapping, Sequence

from modelserving.v1.external_model_pb2 import ExternalModel

from modelplane.adapters.providers.anthropic.answers import MessagesStreamParser, parse_message
from modelplane.adapters.providers.anthropic.complete import (
    CompleteStreamParser,
    build_complete_body,
    is_legacy,
    parse_complete,
)
from modelplane.adapters.providers.anthropic.messages import (
    Dialect,
    MessagesBody,
    build_messages_body,
    tool_names,
)
from modelplane.adapters.providers.anthropic.passage import PROTOCOL, AnthropicPassage
from modelplane.adapters.providers.base import Passage, StreamParser
from modelplane.adapters.providers.canonical.answers import WALL_CLOCK, Clock
from modelplane.adapters.providers.canonical.json_values import (
    as_object,
    as_text,
    parse_json_object,
)
from modelplane.adapters.providers.canonical.prompts import (
    PromptStreamParser,
    build_chat_query,
    to_completion,
)
from modelplane.adapters.providers.credentials.signers import KeySigner, check_key
from modelplane.adapters.providers.errors import (
    AdapterError,
    ConfigRefused,
    CredentialRefused,
    ModelNotFound,
    ProviderFailed,
    ProviderTimeout,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    RequestConflict,
    RequestRefused,
    classify,
)
from modelplane.adapters.providers.refusals import claude_model
from modelplane.adapters.providers.route import Route, RouteAdapter
from modelplane.adapters.providers.types import (
    HttpAnswer,
    Image,
    JsonObject,
    Plan,
    Query,
    Task,
)

_BASE = "https://api.anthropic.com/v1"
# The later version, 2026-10-21, has lost `temperature`, `top_p` and `top_k`.
_VERSION = "2023-06-01"
_ERRORS: Mapping[str, type[AdapterError]] = {
    "invalid_request_error": RequestRefused,
    "authentication_error": CredentialRefused,
    "billing_error": QuotaExhausted,
    "permission_error": CredentialRefused,
    "not_found_error": ModelNotFound,
    "conflict_error": RequestConflict,
    "request_too_large": RequestRefused,
    "rate_limit_error": RateLimited,
    "timeout_error": ProviderTimeout,
    "api_error": ProviderFailed,
    "overloaded_error": ProviderUnavailable,
}
# These say no more than the status does, where there is one.
_GENERAL = frozenset({"invalid_request_error", "api_error"})
# What concerns the account has a request's type and status, so that the caller would be blamed and
# no other entity asked. Only the wording tells, and only from its first word on: what a message
# repeats of the prompt stands further back.
_ACCOUNT: Mapping[str, type[AdapterError]] = {
    "Your credit balance is too low": QuotaExhausted,
    "You have reached your specified API usage limits": QuotaExhausted,
    "You have reached your specified workspace API usage limits": QuotaExhausted,
    "This organization has been disabled": CredentialRefused,
}


def classify_error(kind: object, status: int | None = None) -> type[AdapterError]:
    """Return the class of an error by its type and, where that says little, by its status.

    Args:
        kind: `error.type` of the body.
        status: HTTP status; None for an error inside a stream.
    """
    known = _ERRORS.get(kind) if isinstance(kind, str) else None
    if known and (status is None or kind not in _GENERAL):
        return known
    return ProviderFailed if status is None else classify(status)


def classify_body(detail: object, status: int | None = None) -> type[AdapterError]:
    """Return the class of an error by its body.

    Args:
        detail: The body.
        status: HTTP status; None for an error inside a stream.
    """
    kind = error_type(detail)
    if kind == "invalid_request_error":
        message = as_text(as_object(as_object(detail).get("error")).get("message"))
        for beginning, cls in _ACCOUNT.items():
            if message.startswith(beginning):
                return cls
    return classify_error(kind, status)


def error_type(detail: object) -> object:
    """Return the type in an error's body, None where it has none."""
    error = detail.get("error") if isinstance(detail, dict) else None
    return error.get("type") if isinstance(error, dict) else None


class AnthropicAdapter(RouteAdapter):
    """What both tasks share: headers and errors."""

    __slots__ = ("_dialect",)

    def __init__(self, route: Route) -> None:
        super().__init__(route)
        self._dialect = Dialect(route.provider, route.model, takes=claude_model(route.model))

    def _plan(self, built: MessagesBody) -> Plan:
        request = self._request(built.body)
        if built.betas:
            request.headers = {**request.headers, "anthropic-beta": ",".join(built.betas)}
        return Plan((request,), built.adapted)

    def _parse_object(self, answer: HttpAnswer) -> JsonObject:
        parsed = parse_json_object(self._provider, answer.body)
        if "error" in parsed:
            raise self._reported(parsed)
        return parsed

    def _classify(self, status: int, detail: object) -> type[AdapterError]:
        return classify_body(detail, status)

    def _reported(self, body: JsonObject) -> AdapterError:
        return classify_body(body)(self._provider, body)


class AnthropicChat(AnthropicAdapter):
    """Translates chats."""

    __slots__ = ("_passage",)

    def __init__(self, route: Route) -> None:
        super().__init__(route)
        self._passage = AnthropicPassage(route, self._reported)

    def passage(self, protocol: str) -> Passage | None:
        """Return how requests of the same API pass; see `Adapter`."""
        return self._passage if protocol == PROTOCOL else None

    def plan(self, query: Query, images: Mapping[str, Image]) -> Plan:
        """Return the provider's request; see `Adapter`."""
        return self._plan(build_messages_body(query, self._dialect, images))

    def parse_answers(self, query: Query, answers: Sequence[HttpAnswer]) -> JsonObject:
        """Return the answer in the response; see `Adapter`."""
        message = self._parse_object(answers[0])
        return parse_message(self._provider, message, tool_names(query), self._created())

    def stream_parser(self, query: Query) -> StreamParser:
        """Return a parser for one streamed answer."""
        return MessagesStreamParser(
            self._provider, tool_names(query), self._created(), self._reported
        )


class AnthropicPrompts(AnthropicChat):
    """Translates completions for the models that only chat."""

    __slots__ = ()

    def passage(self, protocol: str) -> Passage | None:
        """Return none: completions have another form."""
        del protocol
        return None

    def plan(self, query: Query, images: Mapping[str, Image]) -> Plan:
        """Return the provider's request; see `Adapter`."""
        return super().plan(build_chat_query(self._provider, query), images)

    def parse_answers(self, query: Query, answers: Sequence[HttpAnswer]) -> JsonObject:
        """Return the answer in the response; see `Adapter`."""
        return to_completion(super().parse_answers(query, answers))

    def stream_parser(self, query: Query) -> StreamParser:
        """Return a parser for one streamed answer."""
        return PromptStreamParser(super().stream_parser(query))


class AnthropicCompletions(AnthropicAdapter):
    """Translates completions for the models that the legacy API has."""

    __slots__ = ()

    def plan(self, query: Query, images: Mapping[str, Image]) -> Plan:
        """Return the provider's request; see `Adapter`."""
        del images
        return self._plan(build_complete_body(query, self._dialect))

    def parse_answers(self, query: Query, answers: Sequence[HttpAnswer]) -> JsonObject:
        """Return the answer in the response; see `Adapter`."""
        answer = self._parse_object(answers[0])
        return parse_complete(self._provider, query, answer, self._created())

    def stream_parser(self, query: Query) -> StreamParser:
        """Return a parser for one streamed answer."""
        return CompleteStreamParser(self._provider, query, self._created(), self._reported)


def build_anthropic_adapter(model: ExternalModel, clock: Clock = WALL_CLOCK) -> AnthropicAdapter:
    """Return the adapter of an external model.

    Args:
        model: The external model.
        clock: Seconds since the epoch.

    Raises:
        ConfigRefused: The configuration cannot work; the text says what to change.
    """
    key = check_key("anthropic_api_key", model.anthropic_config.anthropic_api_key_plaintext)
    adapter: type[AnthropicAdapter]
    if model.task == Task.CHAT:
        adapter, path = AnthropicChat, "/messages"
    elif model.task == Task.COMPLETIONS and is_legacy(model.name):
        adapter, path = AnthropicCompletions, "/complete"
    elif model.task == Task.COMPLETIONS:
        adapter, path = AnthropicPrompts, "/messages"
    else:
        raise ConfigRefused(f"task '{model.task}' is not served by anthropic")
    signer = KeySigner(key, "x-api-key", "")
    headers = {"anthropic-version": _VERSION}
    return adapter(Route(model.provider, model.name, _BASE + path, signer, headers, clock))
