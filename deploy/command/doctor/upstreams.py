"""Which servers the endpoints call: asked of the adapters, as a query would be.

Before: `egress`. Credentials are not known here, and stand-ins take their place.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.protobuf import json_format
from modelserving.v1.external_model_pb2 import ExternalModel

from modelplane.adapters.providers.errors import AdapterError, ConfigRefused
from modelplane.adapters.providers.registry import build_adapter
from modelplane.adapters.providers.types import JsonObject, Query, Task
from modelplane.deploy.command.api.client import Json
from modelplane.deploy.command.api.tables import member

_QUERIES: Mapping[str, JsonObject] = {
    Task.CHAT: {"messages": [{"role": "user", "content": "Hello"}]},
    Task.COMPLETIONS: {"prompt": "Hello"},
    Task.EMBEDDINGS: {"input": "Hello"},
}
_PLAINTEXT = "_plaintext"
_RSA_EXPONENT, _RSA_BITS = 65537, 2048


def origins_of(endpoints: Iterable[Json]) -> dict[str, list[str]]:
    """Return the origins that endpoints call, each with who calls it; empty: it is not known."""
    found: dict[str, list[str]] = {}
    for endpoint in endpoints:
        for entity in member(endpoint, "config", "served_entities") or []:
            if model := entity.get("external_model"):
                who = f"{endpoint['name']}/{entity['name']}"
                found.setdefault(_origin(model), []).append(who)
    return found


def _origin(document: Json) -> str:
    return next(filter(None, (_origin_with(document, make) for make in (_key, _key_file))), "")


def _origin_with(document: Json, make: Callable[[], str]) -> str:
    """Return the origin that a model is called at with stand-ins; empty: they do not pass."""
    model = ExternalModel()
    try:
        json_format.ParseDict(document, model, ignore_unknown_fields=True)
        _fill(model, make)
        query = Query(dict(_QUERIES.get(model.task, {})), stream=False)
        url = build_adapter(model).plan(query, {}).requests[0].url
    except (json_format.ParseError, ConfigRefused, AdapterError, ValueError, IndexError):
        return ""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _fill(model: ExternalModel, make: Callable[[], str]) -> None:
    """Put a stand-in into each credential that a secret holds."""
    name = model.WhichOneof("provider_config")
    if name is None:
        return
    config = getattr(model, name)
    for field in config.DESCRIPTOR.fields:
        own = field.name.removesuffix(_PLAINTEXT)
        if own != field.name and getattr(config, own, ""):
            setattr(config, field.name, make())


def _key() -> str:
    """Return what passes for a key."""
    return "STANDIN0123456789ABC"


@lru_cache(maxsize=1)
def _key_file() -> str:
    """Return what passes for a key file, which adapters read."""
    key = rsa.generate_private_key(_RSA_EXPONENT, _RSA_BITS).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    account = {
        "type": "service_account",
        "project_id": "stand-in",
        "private_key_id": "0",
        "private_key": key.decode(),
        "client_email": "stand-in@example.com",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    return json.dumps(account)
