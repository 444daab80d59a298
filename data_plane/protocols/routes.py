"""Which path belongs to which native protocol; the only list of them.

Used by `hosts/routes.py`; Envoy hands over what begins like these (`deploy/envoy/routes.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from modelplane.adapters.providers.types import JsonObject
from modelplane.data_plane.calls.call import Method
from modelplane.data_plane.protocols.anthropic.protocol import Messages
from modelplane.data_plane.protocols.base import Protocol
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
    """

    protocol: Protocol
    method: Method = Method.QUERY
    verb: bytes = b"POST"
    fields: JsonObject = field(default_factory=dict)


_MESSAGES = Messages()
_ROUTES: Mapping[str, NativeRoute] = {
    "/anthropic/v1/messages": NativeRoute(_MESSAGES),
    "/anthropic/v1/messages/count_tokens": NativeRoute(
        # What is counted is not answered, so nobody says how long an answer may be.
        _MESSAGES,
        Method.COUNT_TOKENS,
        fields={"max_tokens": 1},
    ),
    "/anthropic/v1/models": NativeRoute(_MESSAGES, Method.LIST_MODELS, b"GET"),
}
_RESPONSES = NativeRoute(Responses())
_MODELS = NativeRoute(_RESPONSES.protocol, Method.LIST_MODELS, b"GET")
_BY_PATH: Mapping[bytes, NativeRoute] = {
    **{
        f"{prefix}{path}".encode(): route for prefix in _PREFIXES for path, route in _ROUTES.items()
    },
    b"/serving-endpoints/responses": _RESPONSES,
    b"/serving-endpoints/v1/responses": _RESPONSES,
    **{f"/ai-gateway/{way}/v1/responses".encode(): _RESPONSES for way in OPENAI_WAYS},
    **{f"/ai-gateway/{way}/v1/models".encode(): _MODELS for way in OPENAI_WAYS},
}


def find_route(path: bytes) -> NativeRoute | None:
    """Return what a path asks for; None: it belongs to no native protocol."""
    return _BY_PATH.get(path)
