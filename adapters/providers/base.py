"""What an adapter is: pure translation between the canonical form and one provider's wire format.

An adapter is built once per served entity, holds its credential and does no I/O; `http.py` does
it, `registry.py` finds the adapter of a provider.
"""

from collections.abc import Iterator, Mapping
from typing import Protocol

from adapters.providers.errors import AdapterError
from adapters.providers.types import HttpRequest, JsonObject, Query


class StreamParser(Protocol):
    """Turns the bytes of one streamed answer into canonical chunks, however they are split."""

    @property
    def ended(self) -> bool:
        """Whether the provider has marked the end of the answer."""

    def feed(self, data: bytes) -> Iterator[JsonObject]:
        """Yield the chunks that `data` completes.

        Raises:
            AdapterError: The provider reported an error, after the chunks yielded so far.
        """

    def finish(self) -> Iterator[JsonObject]:
        """Yield what is left at the end of the body.

        Raises:
            AdapterError: The body ended before the answer did.
        """


class Adapter(Protocol):
    """Translates the queries of one served entity."""

    def build_request(self, query: Query) -> HttpRequest:
        """Return the provider's request.

        Raises:
            AdapterError: The query cannot be put to this provider.
        """

    def parse_response(self, body: bytes) -> JsonObject:
        """Return the canonical answer in the body of a successful response.

        Raises:
            AdapterError: The body is not an answer.
        """

    def stream_parser(self) -> StreamParser:
        """Return a parser for one streamed answer."""

    def parse_error(self, status: int, headers: Mapping[str, str], body: bytes) -> AdapterError:
        """Return the error in a failed response, freed from the endpoint's credential."""
