"""Any server that speaks OpenAI's API, reached at the full URL of its task's route.

vLLM, Ollama, TGI, LM Studio and gateways of one's own. The wire is `openai/provider.py`'s, which
tolerates what such servers do differently: no `[DONE]`, no usage, errors with status 200, comments
between events. Credentials go as a bearer token or in a header of the server's choice.
"""

import re
from urllib.parse import urlsplit

from modelserving.v1.external_model_pb2 import CustomProviderConfig, ExternalModel

from modelplane.adapters.providers.credentials.signers import KeySigner, check_key
from modelplane.adapters.providers.errors import ConfigRefused
from modelplane.adapters.providers.openai.provider import OpenAiAdapter
from modelplane.adapters.providers.route import Route
from modelplane.adapters.providers.types import Task

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
# Headers that frame the message or name its receiver: a credential there would break the request.
_RESERVED_HEADERS = frozenset(
    {
        "accept-encoding",
        "user-agent",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


def build_custom_adapter(model: ExternalModel) -> OpenAiAdapter:
    """Return the adapter of an external model.

    Raises:
        ConfigRefused: The configuration cannot work; the text says what to change.
    """
    config = model.custom_provider_config
    if model.task not in set(Task):
        raise ConfigRefused(f"task '{model.task}' is not served by a custom provider")
    return OpenAiAdapter(Route(model.provider, model.name, _url(config), _signer(config)))


def _signer(config: CustomProviderConfig) -> KeySigner:
    if config.HasField("bearer_token_auth"):
        token = check_key("bearer_token_auth.token", config.bearer_token_auth.token_plaintext)
        return KeySigner(token)
    auth = config.api_key_auth
    name = auth.key.strip().lower()
    if not _HEADER_NAME.fullmatch(name) or name in _RESERVED_HEADERS:
        raise ConfigRefused(
            f"api_key_auth.key '{auth.key}' cannot carry a key: give the name of a header, for "
            "example x-api-key"
        )
    return KeySigner(check_key("api_key_auth.value", auth.value_plaintext), name, "")


def _url(config: CustomProviderConfig) -> str:
    url = config.custom_provider_url.strip()
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ConfigRefused("custom_provider_url must be an http or https URL")
    return url
