"""Stands in for a provider whose adapter is not written yet.

Its configuration is accepted, so that an endpoint can be created as documented; a query says what
is missing.
"""

from collections.abc import Mapping

from modelserving.v1.external_model_pb2 import ExternalModel

from adapters.providers.base import StreamParser
from adapters.providers.errors import AdapterError, ProviderNotImplemented
from adapters.providers.types import HttpRequest, JsonObject, Query


class UnavailableAdapter:
    """Refuses every query, naming the provider."""

    __slots__ = ("_what",)

    def __init__(self, what: str) -> None:
        self._what = what

    def build_request(self, query: Query) -> HttpRequest:
        """Refuse; see `Adapter`."""
        del query
        raise self._error()

    def parse_response(self, body: bytes) -> JsonObject:
        """Refuse; see `Adapter`."""
        del body
        raise self._error()

    def stream_parser(self) -> StreamParser:
        """Refuse; see `Adapter`."""
        raise self._error()

    def parse_error(self, status: int, headers: Mapping[str, str], body: bytes) -> AdapterError:
        """Return the refusal; see `Adapter`."""
        del status, headers, body
        return self._error()

    def _error(self) -> ProviderNotImplemented:
        return ProviderNotImplemented(self._what, f"{self._what} cannot be queried yet")


def build_unavailable_adapter(model: ExternalModel) -> UnavailableAdapter:
    """Return the stand-in for an external model."""
    return UnavailableAdapter(model.provider)
