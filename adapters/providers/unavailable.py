"""Stands in for a provider whose adapter is not written yet.

Its configuration is accepted, so that an endpoint can be created as documented; a query says what
is missing.
"""

from collections.abc import Mapping, Sequence

from modelserving.v1.external_model_pb2 import ExternalModel

from adapters.providers.base import Adapter, StreamParser
from adapters.providers.errors import AdapterError, ProviderNotImplemented
from adapters.providers.types import HttpAnswer, Image, JsonObject, Plan, Query


class UnavailableAdapter(Adapter):
    """Refuses every query, naming the provider."""

    __slots__ = ("_what",)

    def __init__(self, what: str) -> None:
        self._what = what

    def plan(self, query: Query, images: Mapping[str, Image]) -> Plan:
        """Refuse; see `Adapter`."""
        del query, images
        raise self._error()

    def parse_answers(self, query: Query, answers: Sequence[HttpAnswer]) -> JsonObject:
        """Refuse; see `Adapter`."""
        del query, answers
        raise self._error()

    def stream_parser(self, query: Query) -> StreamParser:
        """Refuse; see `Adapter`."""
        del query
        raise self._error()

    def parse_error(self, answer: HttpAnswer) -> AdapterError:
        """Return the refusal; see `Adapter`."""
        del answer
        return self._error()

    def _error(self) -> ProviderNotImplemented:
        return ProviderNotImplemented(self._what, f"{self._what} cannot be queried yet")


def build_unavailable_adapter(model: ExternalModel) -> UnavailableAdapter:
    """Return the stand-in for an external model."""
    return UnavailableAdapter(model.provider)
