"""What all adapters of Bedrock share: where a model is, signatures, errors.

Extended by one adapter for each task; `provider.py` chooses among them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from modelplane.adapters.providers.amazon_bedrock.errors import parse_http_error, refuses_key
from modelplane.adapters.providers.amazon_bedrock.models import base_model, build_url
from modelplane.adapters.providers.amazon_bedrock.signing import AwsKey, sign
from modelplane.adapters.providers.base import Adapter
from modelplane.adapters.providers.canonical.answers import Clock
from modelplane.adapters.providers.canonical.parameters import encode_body
from modelplane.adapters.providers.credentials.cache import Credential, CredentialSource
from modelplane.adapters.providers.errors import AdapterError
from modelplane.adapters.providers.types import HttpAnswer, HttpRequest, JsonObject

REQUEST_ID = "x-amzn-requestid"
_INPUT_TOKENS = "x-amzn-bedrock-input-token-count"
_OUTPUT_TOKENS = "x-amzn-bedrock-output-token-count"


@dataclass(frozen=True, slots=True)
class Target:
    """One model at Bedrock.

    Attributes:
        provider: Name that errors carry.
        family: The model's family, for example `anthropic`.
        model_id: The model's id, inference profile or ARN.
        region: AWS region.
        key: Lasting key pair; None with `source`.
        source: Where short-lived keys come from; None with `key`.
        clock: Wall time, for answers that do not say theirs.
    """

    provider: str
    family: str
    model_id: str
    region: str
    key: AwsKey | None = field(repr=False)
    source: CredentialSource | None
    clock: Clock

    @property
    def model(self) -> str:
        """The model's own name, without vendor."""
        return base_model(self.model_id)


class BedrockAdapter(Adapter):
    """Translates for one model."""

    __slots__ = ("_secrets", "_target", "credential_source")

    def __init__(self, target: Target) -> None:
        self._target = target
        self.credential_source = target.source
        key = target.key
        self._secrets = (key.secret_access_key, key.session_token) if key else ()

    def authorize(self, request: HttpRequest, credential: Credential, now: float) -> HttpRequest:
        """Return the request with its signature; see `Adapter`."""
        key = self._target.key or AwsKey(*credential.values)
        # Remembered only to be removed from whatever the provider repeats.
        self._secrets = (key.secret_access_key, key.session_token)
        return sign(request, key, self._target.region, now)

    def refuses_credential(self, status: int, headers: Mapping[str, str]) -> bool:
        """Return whether the key was refused, which AWS says with a status 403; see `Adapter`."""
        return super().refuses_credential(status, headers) or refuses_key(headers)

    def parse_error(self, answer: HttpAnswer) -> AdapterError:
        """Return the error in a failed response; see `Adapter`."""
        return parse_http_error(self._target.provider, answer, *self._secrets)

    def _request(self, operation: str, body: JsonObject) -> HttpRequest:
        """Return a request that is not signed yet.

        Raises:
            RequestRefused: The body cannot be encoded.
        """
        encoded = encode_body(self._target.provider, body)
        url = build_url(self._target.region, self._target.model_id, operation)
        headers = {"content-type": "application/json", "accept": _ACCEPT[operation]}
        return HttpRequest(self._target.provider, url, headers, encoded)

    def _created(self) -> int:
        return int(self._target.clock())


_EVENTS = "application/vnd.amazon.eventstream"
_ACCEPT = {
    "converse": "application/json",
    "converse-stream": _EVENTS,
    "invoke": "application/json",
    # Here the header names the type inside the frames.
    "invoke-with-response-stream": "application/json",
}


def read_token_counts(answer: HttpAnswer) -> tuple[int | None, int | None]:
    """Return input and output tokens that the headers of an answer report."""
    return _count(answer, _INPUT_TOKENS), _count(answer, _OUTPUT_TOKENS)


def _count(answer: HttpAnswer, name: str) -> int | None:
    value = answer.headers.get(name, "")
    return int(value) if value.isascii() and value.isdigit() else None
