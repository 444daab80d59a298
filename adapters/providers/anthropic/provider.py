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
from modelplane.adapters.providers.base import Adapter, StreamParser
from modelplane.adapters.providers.canonical.answers import (
    WALL_CLOCK,
    Clock,
    encode_reported,
    parse_error_detail,
    parse_json_object,
)
from modelplane.adapters.providers.canonical.json_values import as_object, as_text
from modelplane.adapters.providers.canonical.parameters import encode_body
from modelplane.adapters.providers.canonical.prompts import (
    PromptStreamParser,
    build_chat_query,
    to_completion,
)
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
    parse_retry_after,
)
from modelplane.adapters.providers.keyed import check_key
from modelplane.adapters.providers.refusals import claude_model
from modelplane.adapters.providers.types import (
    HttpAnswer,
    HttpRequest,
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


class AnthropicAdapter(Adapter):
    """What both tasks share: headers, encoding and errors."""

    __slots__ = ("_clock", "_dialect", "_headers", "_secret")

    def __init__(self, provider: str, model: str, key: str, clock: Clock) -> None:
        """Keep what every request needs.

        Args:
            provider: Name that errors carry.
            model: The model's name.
            key: The API key.
            clock: Gives the time of answers, which carry none.
        """
        self._dialect = Dialect(provider, model, takes=claude_model(model))
        self._secret = key
        self._clock = clock
        self._headers = {
            "x-api-key": key,
            "anthropic-version": _VERSION,
            "content-type": "application/json",
        }

    def parse_error(self, answer: HttpAnswer) -> AdapterError:
        """Return the error in a failed response; see `Adapter`."""
        detail = parse_error_detail(answer, self._secret)
        cls = classify_body(detail, answer.status)
        return cls(self._dialect.provider, detail, parse_retry_after(answer.headers))

    def _plan(self, path: str, built: MessagesBody) -> Plan:
        headers = self._headers
        if built.betas:
            headers = headers | {"anthropic-beta": ",".join(built.betas)}
        encoded = encode_body(self._dialect.provider, built.body)
        request = HttpRequest(self._dialect.provider, _BASE + path, headers, encoded)
        return Plan((request,), built.adapted)

    def _parse_object(self, answer: HttpAnswer) -> JsonObject:
        parsed = parse_json_object(self._dialect.provider, answer.body)
        if "error" in parsed:
            raise self._reported(parsed)
        return parsed

    def _reported(self, body: JsonObject) -> AdapterError:
        """Return the error that an event, or an answer with status 200, carries."""
        answer = HttpAnswer(200, {}, encode_reported(body))
        cls = classify_body(body)
        return cls(self._dialect.provider, parse_error_detail(answer, self._secret))

    def _now(self) -> int:
        return int(self._clock())


class AnthropicChat(AnthropicAdapter):
    """Translates chats."""

    __slots__ = ()

    def plan(self, query: Query, images: Mapping[str, Image]) -> Plan:
        """Return the provider's request; see `Adapter`."""
        return self._plan("/messages", build_messages_body(query, self._dialect, images))

    def parse_answers(self, query: Query, answers: Sequence[HttpAnswer]) -> JsonObject:
        """Return the answer in the response; see `Adapter`."""
        message = self._parse_object(answers[0])
        return parse_message(self._dialect.provider, message, tool_names(query), self._now())

    def stream_parser(self, query: Query) -> StreamParser:
        """Return a parser for one streamed answer."""
        return MessagesStreamParser(
            self._dialect.provider, tool_names(query), self._now(), self._reported
        )


class AnthropicPrompts(AnthropicChat):
    """Translates completions for the models that only chat."""

    __slots__ = ()

    def plan(self, query: Query, images: Mapping[str, Image]) -> Plan:
        """Return the provider's request; see `Adapter`."""
        return super().plan(build_chat_query(self._dialect.provider, query), images)

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
        return self._plan("/complete", build_complete_body(query, self._dialect))

    def parse_answers(self, query: Query, answers: Sequence[HttpAnswer]) -> JsonObject:
        """Return the answer in the response; see `Adapter`."""
        answer = self._parse_object(answers[0])
        return parse_complete(self._dialect.provider, query, answer, self._now())

    def stream_parser(self, query: Query) -> StreamParser:
        """Return a parser for one streamed answer."""
        return CompleteStreamParser(self._dialect.provider, query, self._now(), self._reported)


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
        adapter = AnthropicChat
    elif model.task == Task.COMPLETIONS:
        adapter = AnthropicCompletions if is_legacy(model.name) else AnthropicPrompts
    else:
        raise ConfigRefused(f"task '{model.task}' is not served by anthropic")
    return adapter(model.provider, model.name, key, clock)
