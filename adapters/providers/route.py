"""What adapters share whose queries all go to one URL, and that speak JSON.

Each such provider's adapters extend `RouteAdapter`; `canonical/parameters.py` reads the query for
those that speak another format than OpenAI's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from modelplane.adapters.providers.base import Adapter
from modelplane.adapters.providers.canonical.answers import WALL_CLOCK, Clock
from modelplane.adapters.providers.canonical.json_values import parse_error_detail
from modelplane.adapters.providers.canonical.parameters import encode_body
from modelplane.adapters.providers.credentials.signers import Signer
from modelplane.adapters.providers.errors import AdapterError, classify, parse_retry_after
from modelplane.adapters.providers.types import HttpAnswer, HttpRequest, JsonObject

_FAILED_INSIDE = 500


@dataclass(frozen=True, slots=True)
class Route:
    """Where the queries of one served entity go, and with what.

    Attributes:
        provider: Name that errors carry.
        model: Name of the model in bodies; empty: bodies name none.
        url: URL of the task's route.
        signer: Signs the requests.
        headers: Headers of every request, beside the signer's and the body's type.
        clock: Wall time, for answers that do not say theirs.
    """

    provider: str
    model: str
    url: str
    signer: Signer
    headers: Mapping[str, str] = field(default_factory=dict)
    clock: Clock = WALL_CLOCK


class RouteAdapter(Adapter):
    """Headers, encoding and error bodies."""

    __slots__ = ("_clock", "_headers", "_model", "_provider", "_url", "signer")

    # Statuses that mean something else here than `errors.classify` says.
    own_statuses: ClassVar[Mapping[int, type[AdapterError]]] = {}

    def __init__(self, route: Route) -> None:
        """Keep what every request needs."""
        self.signer = route.signer
        self._provider = route.provider
        self._model = route.model
        self._url = route.url
        self._headers = {
            **route.signer.headers,
            "content-type": "application/json",
            **route.headers,
        }
        self._clock = route.clock

    def parse_error(self, answer: HttpAnswer) -> AdapterError:
        """Return the error in a failed response; see `Adapter`."""
        detail = parse_error_detail(answer)
        cls = self._classify(answer.status, detail)
        return cls(self._provider, detail, parse_retry_after(answer.headers))

    def _classify(self, status: int, detail: object) -> type[AdapterError]:
        """Return the class of an error by its status and what it says."""
        del detail
        return self.own_statuses.get(status) or classify(status)

    def _reported(self, body: JsonObject) -> AdapterError:
        """Return the error that an answer, or an event of a stream, with status 200 is."""
        return self._classify(_FAILED_INSIDE, body)(self._provider, body)

    def _request(self, body: JsonObject) -> HttpRequest:
        """Return a request.

        Raises:
            RequestRefused: The body cannot be encoded.
        """
        encoded = encode_body(self._provider, body)
        return HttpRequest(self._provider, self._url, self._headers, encoded)

    def _created(self) -> int:
        return int(self._clock())
