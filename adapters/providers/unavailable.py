"""Stands in for a hosted model, which no worker can call yet.

A control plane of this release accepts none; a query of one, pushed by a newer control plane, says
what is missing.
"""

from collections.abc import Mapping, Sequence

from modelplane.adapters.providers.base import Adapter, StreamParser
from modelplane.adapters.providers.errors import AdapterError, ProviderNotImplemented
from modelplane.adapters.providers.types import HttpAnswer, Image, JsonObject, Plan, Query


class UnavailableAdapter(Adapter):
    """Refuses every query, naming the model."""

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
