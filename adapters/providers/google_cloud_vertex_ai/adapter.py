"""What all adapters of Vertex AI share: where a model is, its bearer token, its errors.

Extended by one adapter for each family of models; `provider.py` chooses among them.
"""

from dataclasses import dataclass

import orjson

from modelplane.adapters.providers.base import Adapter
from modelplane.adapters.providers.canonical.answers import Clock
from modelplane.adapters.providers.credentials.cache import Credential, CredentialSource
from modelplane.adapters.providers.errors import AdapterError, RequestRefused
from modelplane.adapters.providers.google_cloud_vertex_ai.errors import parse_failure
from modelplane.adapters.providers.types import HttpAnswer, HttpRequest, JsonObject


@dataclass(frozen=True, slots=True)
class Target:
    """One model at Vertex AI.

    Attributes:
        provider: Name that errors carry.
        model: Name of the model, without publisher.
        url: URL of the model, without a verb.
        tokens: Where access tokens come from.
        clock: Wall time, for answers that do not say theirs.
    """

    provider: str
    model: str
    url: str
    tokens: CredentialSource
    clock: Clock


class VertexAdapter(Adapter):
    """Translates for one model."""

    __slots__ = ("_target", "_token", "credential_source")

    def __init__(self, target: Target) -> None:
        self._target = target
        self._token = ""
        self.credential_source = target.tokens

    def authorize(self, request: HttpRequest, credential: Credential, now: float) -> HttpRequest:
        """Return the request with the access token; see `Adapter`."""
        del now
        # Remembered only to be removed from whatever the provider repeats.
        self._token = credential.values[0]
        headers = {**request.headers, "authorization": f"Bearer {self._token}"}
        return HttpRequest(request.provider, request.url, headers, request.body)

    def parse_error(self, answer: HttpAnswer) -> AdapterError:
        """Return the error in a failed response; see `Adapter`."""
        return parse_failure(self._target.provider, answer, self._token)

    def build_request(self, verb: str, body: JsonObject) -> HttpRequest:
        """Return a request without its credential.

        Raises:
            RequestRefused: The body cannot be encoded.
        """
        try:
            encoded = orjson.dumps(body)
        except TypeError as error:
            # The parser accepts deeper nesting than the encoder.
            raise self.refusal("the body is nested too deeply") from error
        url = f"{self._target.url}:{verb}"
        return HttpRequest(
            self._target.provider, url, {"content-type": "application/json"}, encoded
        )

    def refusal(self, reason: str) -> RequestRefused:
        """Return the refusal of a request that the model cannot take."""
        return RequestRefused(self._target.provider, {"error": {"message": reason}})
