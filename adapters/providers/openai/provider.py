"""OpenAI, every server that speaks its API, and Azure OpenAI with a key or with Entra ID.

API: https://platform.openai.com/docs/api-reference and, for Azure, its data-plane inference
reference. The canonical form is this one, so bodies pass with few changes:

- `model` becomes the external model's name; Azure takes the deployment from the URL instead.
- A stream asks for its usage where the server takes that (`stream_options.py`); whoever relays it
  drops what the caller did not ask for.
- A base URL without a path gets `/v1`; one with a path is used as given (`/v1`, `/api/v3`, …).
- Compatible servers may leave out `[DONE]`, or report an error with status 200.

Built by `registry.py`; sent by `http/transport.py`.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from modelserving.v1.external_model_pb2 import ExternalModel, OpenAiConfig

from modelplane.adapters.providers.base import Passage
from modelplane.adapters.providers.canonical.history import without_thoughts
from modelplane.adapters.providers.canonical.json_values import as_object, parse_json_object
from modelplane.adapters.providers.credentials.signers import (
    KeySigner,
    Signer,
    TokenSigner,
    check_key,
)
from modelplane.adapters.providers.errors import (
    AdapterError,
    ConfigRefused,
    ProviderFailed,
    QuotaExhausted,
    UnusableAnswer,
)
from modelplane.adapters.providers.openai.microsoft_entra import EntraTokens
from modelplane.adapters.providers.openai.passage import PROTOCOL, ResponsesPassage
from modelplane.adapters.providers.openai.stream import OpenAiStreamParser, reports_error
from modelplane.adapters.providers.openai.stream_options import UsageOption
from modelplane.adapters.providers.route import Route, RouteAdapter
from modelplane.adapters.providers.types import (
    HttpAnswer,
    Image,
    JsonObject,
    Plan,
    Query,
    Task,
)

_DEFAULT_BASE = "https://api.openai.com/v1"
_HOST = "api.openai.com"
_OPENAI = "openai"
_PATHS = {
    Task.CHAT: "/chat/completions",
    Task.COMPLETIONS: "/completions",
    Task.EMBEDDINGS: "/embeddings",
}
_QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
# What the model wrote was no answer; the API is well.
_MODEL_ERROR = "model_error"
_CLIENT_ERRORS_AND_UP = 400
_STATUS_LIMIT = 600
# Addresses that are remembered, each some hundred bytes.
_URLS = 1_024
_IDLE_WITHOUT_TOOLS = {"tool_choice": ("auto", "none"), "parallel_tool_calls": (True, False)}


class OpenAiAdapter(RouteAdapter):
    """Translates for one model, deployment or endpoint."""

    __slots__ = ("_passage", "_usage_option")

    def __init__(self, route: Route, responses: tuple[str, str] | None = None) -> None:
        """Translate along a route.

        Args:
            route: Where queries go.
            responses: URL of the Responses API of the same model, and the model's name there; None:
                the server is not known to have it.
        """
        super().__init__(route)
        self._usage_option = UsageOption()
        self._passage: ResponsesPassage | None = None
        if responses is not None:
            self._passage = ResponsesPassage(
                route.provider, *responses, self._headers, self._reported
            )

    def passage(self, protocol: str) -> Passage | None:
        """Return how requests of the Responses API pass; see `Adapter`."""
        return self._passage if protocol == PROTOCOL else None

    def plan(self, query: Query, images: Mapping[str, Image]) -> Plan:
        """Return the provider's request; see `Adapter`."""
        del images
        body = dict(query.body)
        body.pop("model", None)
        adapted = () if body.get("tools") else _drop_tool_options(body)
        if query.native is not None:
            adapted += self._fit_translated(body)
        if self._model:
            body["model"] = self._model
        asks_usage = False
        if query.stream:
            asks_usage, left_out = self._usage_option.put(body)
            adapted += left_out
        return Plan((self._request(body),), adapted, asks_usage)

    def _fit_translated(self, body: JsonObject) -> tuple[str, ...]:
        """Take out of a translated body what only other APIs know; return what was changed."""
        if "messages" in body:
            body["messages"] = without_thoughts(body["messages"])
        # Others that speak OpenAI's API, such as vLLM, take it.
        if self._provider == _OPENAI and body.pop("top_k", None) is not None:
            return ("top_k=dropped",)
        return ()

    def concedes(self, plan: Plan, error: AdapterError) -> bool:
        """Return whether to ask once more, not for the usage; see `Adapter`."""
        return self._usage_option.note_refusal(error, asked=plan.asks_usage)

    def parse_answers(self, query: Query, answers: Sequence[HttpAnswer]) -> JsonObject:
        """Return the answer in the response; see `Adapter`."""
        del query
        answer = parse_json_object(self._provider, answers[0].body)
        if reports_error(answer):
            raise self._reported(answer)
        return answer

    def stream_parser(self, query: Query) -> OpenAiStreamParser:
        """Return a parser for one streamed answer."""
        del query
        return OpenAiStreamParser(self._provider, self._reported, self._usage_option.note_stream)

    def _classify(self, status: int, detail: object) -> type[AdapterError]:
        cls = super()._classify(status, detail)
        if cls.retryable and _error_code(detail) in _QUOTA_CODES:
            return QuotaExhausted
        if cls is ProviderFailed and _error_type(detail) == _MODEL_ERROR:
            return UnusableAnswer
        return cls

    def _reported(self, body: JsonObject) -> AdapterError:
        """Return the error that an answer with status 200 carries, which may tell its own."""
        code = _error_code(body)
        known = isinstance(code, int) and _CLIENT_ERRORS_AND_UP <= code < _STATUS_LIMIT
        status = code if known and isinstance(code, int) else 500
        return self._classify(status, body)(self._provider, body)


def build_openai_adapter(model: ExternalModel) -> OpenAiAdapter:
    """Return the adapter of an external model.

    Raises:
        ConfigRefused: The configuration cannot work; the text says what to change.
    """
    config = model.openai_config
    match config.openai_api_type.lower():
        case "" | "openai":
            return _openai(model, config)
        case "azure":
            key = check_key("openai_api_key", config.openai_api_key_plaintext)
            return _azure(model, config, KeySigner(key, "api-key", ""))
        case "azuread":
            return _azure(model, config, TokenSigner(_entra_tokens(model, config)))
        case _:
            raise ConfigRefused(
                f"openai_api_type '{config.openai_api_type}' is unknown: use openai, azure or "
                "azuread"
            )


def _openai(model: ExternalModel, config: OpenAiConfig) -> OpenAiAdapter:
    key = check_key("openai_api_key", config.openai_api_key_plaintext)
    version = config.openai_api_version
    base = config.openai_api_base or _DEFAULT_BASE
    url = _join(base, _path_of(model.task), version, default_path="/v1")
    headers = _organization(config)
    route = Route(model.provider, model.name, url, KeySigner(key), headers)
    if model.task != Task.CHAT or not _is_openais(url):
        return OpenAiAdapter(route)
    # Of all that speak OpenAI's API, it alone is sure to have this part of it.
    responses = _join(base, "/responses", version, default_path="/v1")
    return OpenAiAdapter(route, (responses, model.name))


def _azure(model: ExternalModel, config: OpenAiConfig, signer: Signer) -> OpenAiAdapter:
    url = _azure_url(config, _path_of(model.task))
    route = Route(model.provider, "", url, signer, _organization(config))
    if model.task != Task.CHAT:
        return OpenAiAdapter(route)
    # The version of the API that has it takes no date, and the deployment as the model.
    responses = _join(config.openai_api_base, "/openai/v1/responses", "")
    return OpenAiAdapter(route, (responses, config.openai_deployment_name))


def _organization(config: OpenAiConfig) -> dict[str, str]:
    name = config.openai_organization
    return {"openai-organization": name} if name else {}


def _entra_tokens(model: ExternalModel, config: OpenAiConfig) -> EntraTokens:
    for field in ("microsoft_entra_tenant_id", "microsoft_entra_client_id"):
        if not getattr(config, field):
            raise ConfigRefused(f"{field} is required with openai_api_type azuread")
    secret = config.microsoft_entra_client_secret_plaintext
    if not secret:
        raise ConfigRefused("microsoft_entra_client_secret has no value")
    return EntraTokens(
        model.provider, config.microsoft_entra_tenant_id, config.microsoft_entra_client_id, secret
    )


def _azure_url(config: OpenAiConfig, path: str) -> str:
    for field in ("openai_api_base", "openai_api_version", "openai_deployment_name"):
        if not getattr(config, field):
            raise ConfigRefused(f"{field} is required with openai_api_type azure and azuread")
    deployment = quote(config.openai_deployment_name, safe="")
    return _join(
        config.openai_api_base,
        f"/openai/deployments/{deployment}{path}",
        config.openai_api_version,
    )


def _drop_tool_options(body: JsonObject) -> tuple[str, ...]:
    """Remove what says how to call tools, and asks for no call, from a body without tools.

    Clients send it all the same; OpenAI refuses it. Returns what was changed.
    """
    if _IDLE_WITHOUT_TOOLS.keys().isdisjoint(body):
        return ()
    idle = [name for name, values in _IDLE_WITHOUT_TOOLS.items() if body.get(name) in values]
    for name in idle:
        del body[name]
    return tuple(f"{name}=dropped" for name in idle)


def _path_of(task: str) -> str:
    try:
        return _PATHS[Task(task)]
    except ValueError:
        raise ConfigRefused(f"task '{task}' is not served by openai") from None


# Thousands of endpoints ask the same few servers, and a worker that starts builds them all.
@lru_cache(maxsize=_URLS)
def _join(base: str, path: str, version: str, default_path: str = "") -> str:
    try:
        parts = urlsplit(base.strip())
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ConfigRefused("openai_api_base must be an http or https URL")
    root = parts.path.rstrip("/") or default_path
    query = urlencode({"api-version": version}) if version else ""
    queries = "&".join(filter(None, (parts.query, query)))
    return urlunsplit((parts.scheme, parts.netloc, root + path, queries, ""))


@lru_cache(maxsize=_URLS)
def _is_openais(url: str) -> bool:
    return urlsplit(url).hostname == _HOST


def _error_code(detail: object) -> object:
    """Return the code in an OpenAI error body, None where it has none."""
    error = as_object(as_object(detail).get("error"))
    return error.get("code") or error.get("type")


def _error_type(detail: object) -> object:
    """Return the type in an OpenAI error body, None where it has none."""
    return as_object(as_object(detail).get("error")).get("type")
