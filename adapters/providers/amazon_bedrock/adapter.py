"""What all adapters of Bedrock share: where a model is, and errors.

Extended by one adapter for each task; `provider.py` chooses among them.
"""

from dataclasses import dataclass

from modelplane.adapters.providers.amazon_bedrock.errors import parse_http_error
from modelplane.adapters.providers.amazon_bedrock.models import base_model, build_url
from modelplane.adapters.providers.base import Adapter
from modelplane.adapters.providers.canonical.answers import Clock
from modelplane.adapters.providers.canonical.parameters import encode_body
from modelplane.adapters.providers.credentials.signers import Signer
from modelplane.adapters.providers.errors import AdapterError
from modelplane.adapters.providers.types import HttpAnswer, HttpRequest, JsonObject, as_count

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
        signer: Signs the requests.
        clock: Wall time, for answers that do not say theirs.
    """

    provider: str
    family: str
    model_id: str
    region: str
    signer: Signer
    clock: Clock

    @property
    def model(self) -> str:
        """The model's own name, without vendor."""
        return base_model(self.model_id)


class BedrockAdapter(Adapter):
    """Translates for one model."""

    __slots__ = ("_target", "signer")

    def __init__(self, target: Target) -> None:
        self._target = target
        self.signer = target.signer

    def parse_error(self, answer: HttpAnswer) -> AdapterError:
        """Return the error in a failed response; see `Adapter`."""
        return parse_http_error(self._target.provider, answer)

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
    "count-tokens": "application/json",
    # Here the header names the type inside the frames.
    "invoke-with-response-stream": "application/json",
}


def read_token_counts(answer: HttpAnswer) -> tuple[int | None, int | None]:
    """Return input and output tokens that the headers of an answer report."""
    return _count(answer, _INPUT_TOKENS), _count(answer, _OUTPUT_TOKENS)


def _count(answer: HttpAnswer, name: str) -> int | None:
    value = answer.headers.get(name, "")
    return as_count(int(value)) if value.isascii() and value.isdigit() else None
