"""Which path belongs to which native protocol; the only list of them.

Used by `hosts/routes.py`; Envoy hands over what begins like these (`deploy/envoy/routes.py`).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl, unquote

from modelplane.adapters.providers.types import JsonObject, Task
from modelplane.data_plane.calls.call import Method
from modelplane.data_plane.protocols.anthropic.protocol import Messages
from modelplane.data_plane.protocols.base import Protocol
from modelplane.data_plane.protocols.gemini.protocol import (
    ArrayedStream,
    CountTokens,
    EmbedContent,
    GenerateContent,
    StreamGenerateContent,
)
from modelplane.data_plane.protocols.responses.protocol import Responses

# Ways to OpenAI's API that the mirrored product has for one client each; all are the same here.
OPENAI_WAYS = ("openai", "codex", "mlflow", "cursor")
_PREFIXES = ("/serving-endpoints", "/ai-gateway")


@dataclass(frozen=True, slots=True)
class NativeRoute:
    """What a path asks for.

    Attributes:
        protocol: Protocol of the request and its answer.
        method: What is asked for.
        verb: HTTP method.
        fields: What the path says in place of the body.
        task: Task of the query.
        parameters: What the query of the path says, where that is read.
        name: Model that is asked about; empty: what asks a model names it elsewhere.
    """

    protocol: Protocol
    method: Method = Method.QUERY
    verb: bytes = b"POST"
    fields: JsonObject = field(default_factory=dict)
    task: str = Task.CHAT
    parameters: Mapping[str, str] = field(default_factory=dict)
    name: str = ""


_MESSAGES, _RESPONSES, _GENERATE = Messages(), Responses(), GenerateContent()
_ANTHROPIC: Mapping[str, NativeRoute] = {
    "messages": NativeRoute(_MESSAGES),
    # What is counted is not answered, so nobody says how long an answer may be.
    "messages/count_tokens": NativeRoute(_MESSAGES, Method.COUNT_TOKENS, fields={"max_tokens": 1}),
    "models": NativeRoute(_MESSAGES, Method.LIST_MODELS, b"GET"),
}
_OPENAI: Mapping[str, NativeRoute] = {
    "responses": NativeRoute(_RESPONSES),
    "models": NativeRoute(_RESPONSES, Method.LIST_MODELS, b"GET"),
}
_BY_PATH: Mapping[str, NativeRoute] = {
    **{
        f"{prefix}/anthropic/v1/{path}": route
        for prefix in _PREFIXES
        for path, route in _ANTHROPIC.items()
    },
    **{f"/ai-gateway/{way}/v1/{path}": _OPENAI[path] for way in OPENAI_WAYS for path in _OPENAI},
    "/serving-endpoints/responses": _OPENAI["responses"],
    "/serving-endpoints/v1/responses": _OPENAI["responses"],
}
# As most requests come.
_WHOLE: Mapping[bytes, NativeRoute] = {path.encode(): route for path, route in _BY_PATH.items()}
_GEMINI = re.compile(
    r"/(?:serving-endpoints|ai-gateway)/gemini/v1(?:beta)?/models(?:/([^/:]+)(?::([A-Za-z]+))?)?"
)
_GEMINI_VERBS: Mapping[str, tuple[Protocol, Method, str]] = {
    "generateContent": (_GENERATE, Method.QUERY, Task.CHAT),
    "streamGenerateContent": (StreamGenerateContent(), Method.QUERY, Task.CHAT),
    "countTokens": (CountTokens(), Method.COUNT_TOKENS, Task.CHAT),
    "embedContent": (EmbedContent(), Method.QUERY, Task.EMBEDDINGS),
    "batchEmbedContents": (EmbedContent(), Method.QUERY, Task.EMBEDDINGS),
}
_ARRAYED = ArrayedStream()
_EVENTS = "alt=sse"


def find_route(path: bytes, query: bytes = b"") -> NativeRoute | None:
    """Return what a path asks for; None: it belongs to no native protocol.

    Args:
        path: The path.
        query: What follows it.
    """
    if not query and (found := _WHOLE.get(path)) is not None:
        return found
    text = path.decode("latin-1")
    found = _BY_PATH.get(text)
    parameters = query.decode("latin-1")
    if found is None:
        found = _find_gemini(text, parameters) or _find_model(text)
    if found is not None and found.method is Method.LIST_MODELS:
        return replace(found, parameters=dict(parse_qsl(parameters)))
    return found


def responses_route(endpoint: str) -> NativeRoute:
    """Return what a query of the Responses API asks that a path of ours sends to an endpoint."""
    return replace(_OPENAI["responses"], fields={"model": endpoint})


def all_paths() -> Iterator[str]:
    """Yield every path that there is; NAME stands for an endpoint's name."""
    for path, route in _BY_PATH.items():
        yield path
        if route.method is Method.LIST_MODELS:
            yield f"{path}/NAME"
    for prefix in _PREFIXES:
        for version in ("v1", "v1beta"):
            yield f"{prefix}/gemini/{version}/models"
            yield f"{prefix}/gemini/{version}/models/NAME"
            yield from (f"{prefix}/gemini/{version}/models/NAME:{verb}" for verb in _GEMINI_VERBS)


def _find_model(path: str) -> NativeRoute | None:
    """Return what asks about one model of a list."""
    models, _, name = path.rpartition("/")
    route = _BY_PATH.get(models)
    if route is None or route.method is not Method.LIST_MODELS or not name:
        return None
    return replace(route, method=Method.GET_MODEL, name=unquote(name))


def _find_gemini(path: str, query: str) -> NativeRoute | None:
    match = _GEMINI.fullmatch(path)
    if match is None:
        return None
    model, verb = match.groups()
    if model is None:
        return NativeRoute(_GENERATE, Method.LIST_MODELS, b"GET")
    if verb is None:
        return NativeRoute(_GENERATE, Method.GET_MODEL, b"GET", name=unquote(model))
    found = _GEMINI_VERBS.get(verb)
    if found is None:
        return None
    protocol, method, task = found
    if verb == "streamGenerateContent" and _EVENTS not in query.split("&"):
        protocol = _ARRAYED
    return NativeRoute(protocol, method, fields={"model": unquote(model)}, task=task)
