"""Adapters whose every request carries one lasting API key as a bearer token.

Each such provider's adapters extend `KeyedAdapter`; `canonical/parameters.py` reads the query for
them.
"""

from collections.abc import Mapping
from typing import ClassVar

from modelserving.v1.external_model_pb2 import ExternalModel

from modelplane.adapters.providers.base import Adapter
from modelplane.adapters.providers.canonical.answers import (
    Clock,
    encode_reported,
    parse_error_detail,
)
from modelplane.adapters.providers.canonical.parameters import encode_body
from modelplane.adapters.providers.errors import (
    AdapterError,
    ConfigRefused,
    classify,
    parse_retry_after,
)
from modelplane.adapters.providers.types import HttpAnswer, HttpRequest, JsonObject


class KeyedAdapter(Adapter):
    """What such adapters share: headers, encoding and error bodies."""

    __slots__ = ("_clock", "_headers", "_model", "_provider", "_secret", "_url")

    # Statuses that mean something else here than `errors.classify` says.
    own_statuses: ClassVar[Mapping[int, type[AdapterError]]] = {}

    def __init__(self, model: ExternalModel, url: str, key: str, clock: Clock) -> None:
        """Keep what every request needs.

        Args:
            model: The external model.
            url: URL of the task's route.
            key: The credential; also removed from whatever the provider repeats.
            clock: Seconds since the epoch.
        """
        self._provider = model.provider
        self._model = model.name
        self._url = url
        self._secret = key
        self._headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        self._clock = clock

    def parse_error(self, answer: HttpAnswer) -> AdapterError:
        """Return the error in a failed response; see `Adapter`."""
        cls = self.own_statuses.get(answer.status) or classify(answer.status)
        detail = parse_error_detail(answer, self._secret)
        return cls(self._provider, detail, parse_retry_after(answer.headers))

    def _request(self, body: JsonObject) -> HttpRequest:
        encoded = encode_body(self._provider, body)
        return HttpRequest(self._provider, self._url, self._headers, encoded)

    def _reported(self, event: JsonObject) -> AdapterError:
        """Return the error that an event of a stream with status 200 is."""
        return self.parse_error(HttpAnswer(500, {}, encode_reported(event)))

    def _created(self) -> int:
        return int(self._clock())


def check_key(field: str, key: str) -> str:
    """Return the API key in the configuration field `field`.

    Raises:
        ConfigRefused: It is missing, or no header can carry it.
    """
    if not key:
        raise ConfigRefused(f"{field} has no value")
    if not (key.isascii() and key.isprintable()):
        raise ConfigRefused(f"{field} holds characters that an HTTP header cannot carry")
    return key
