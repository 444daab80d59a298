"""What all adapters of Vertex AI share: where a model is, and its errors.

Extended by one adapter for each family of models; `provider.py` chooses among them.
"""

from dataclasses import dataclass

from modelplane.adapters.providers.base import Adapter
from modelplane.adapters.providers.canonical.answers import Clock
from modelplane.adapters.providers.canonical.parameters import encode_body
from modelplane.adapters.providers.credentials.signers import Signer
from modelplane.adapters.providers.errors import AdapterError, RequestRefused, refusal
from modelplane.adapters.providers.google_cloud_vertex_ai.errors import parse_failure
from modelplane.adapters.providers.types import HttpAnswer, HttpRequest, JsonObject


@dataclass(frozen=True, slots=True)
class Target:
    """One model at Vertex AI.

    Attributes:
        provider: Name that errors carry.
        model: Name of the model, without publisher.
        url: URL of the model, without a verb.
        signer: Signs the requests.
        clock: Wall time, for answers that do not say theirs.
    """

    provider: str
    model: str
    url: str
    signer: Signer
    clock: Clock


class VertexAdapter(Adapter):
    """Translates for one model."""

    __slots__ = ("_target", "signer")

    def __init__(self, target: Target) -> None:
        self._target = target
        self.signer = target.signer

    def parse_error(self, answer: HttpAnswer) -> AdapterError:
        """Return the error in a failed response; see `Adapter`."""
        return parse_failure(self._target.provider, answer)

    def build_request(self, verb: str, body: JsonObject) -> HttpRequest:
        """Return a request without its credential.

        Raises:
            RequestRefused: The body cannot be encoded.
        """
        encoded = encode_body(self._target.provider, body)
        url = f"{self._target.url}:{verb}"
        return HttpRequest(
            self._target.provider, url, {"content-type": "application/json"}, encoded
        )

    def refusal(self, reason: str) -> RequestRefused:
        """Return the refusal of a request that the model cannot take."""
        return refusal(self._target.provider, reason)
