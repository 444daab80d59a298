"""What an adapter is: pure translation between the canonical form and one provider's wire format.

An adapter is built once per served entity and does no I/O; `http/transport.py` does it,
`credentials/cache.py` keeps the short-lived credentials that some providers need, `registry.py`
finds the adapter of a provider.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Protocol

from modelplane.adapters.providers.credentials.cache import Credential, CredentialSource
from modelplane.adapters.providers.errors import AdapterError
from modelplane.adapters.providers.types import (
    HttpAnswer,
    HttpRequest,
    Image,
    JsonObject,
    Plan,
    Query,
    Usage,
)

_UNAUTHENTICATED = 401


class StreamParser(Protocol):
    """Turns the bytes of one streamed answer into canonical chunks, however they are split."""

    @property
    def ended(self) -> bool:
        """Whether the provider has marked the end of the answer."""

    @property
    def usage(self) -> Usage | None:
        """What the provider has counted so far, should the stream break; None: nothing yet."""

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


class Adapter(ABC):
    """Translates the queries of one served entity.

    Attributes:
        credential_source: Where a short-lived credential comes from; None: the requests carry a
            lasting one already.
        streams_lines: Whether its streams are lines of JSON, and so begin as whole answers do.
    """

    __slots__ = ()

    credential_source: CredentialSource | None = None
    streams_lines: ClassVar[bool] = False

    def image_urls(self, query: Query) -> Sequence[str]:
        """Return the URLs of images that the provider does not fetch by itself.

        `plan` gets their content.
        """
        del query
        return ()

    @abstractmethod
    def plan(self, query: Query, images: Mapping[str, Image]) -> Plan:
        """Return how to put the query to the provider.

        Args:
            query: The query; its body is left as it is.
            images: Content of each URL in `image_urls`.

        Raises:
            AdapterError: The query cannot be put to this provider.
        """

    def concedes(self, plan: Plan, error: AdapterError) -> bool:
        """Return whether a stream's query is to be planned anew, without what was refused of it.

        Args:
            plan: How it was put.
            error: What the provider answered.
        """
        del plan, error
        return False

    def authorize(self, request: HttpRequest, credential: Credential, now: float) -> HttpRequest:
        """Return `request` with a credential of `credential_source`, or signed with it.

        Args:
            request: A request of `plan`.
            credential: The credential in force.
            now: Seconds since the epoch.
        """
        del credential, now
        return request

    def refuses_credential(self, status: int, headers: Mapping[str, str]) -> bool:
        """Return whether a response says that its request's credential is not in force.

        A short-lived one that was revoked early is then replaced, and the request sent once more.

        Args:
            status: HTTP status.
            headers: Headers, looked up in lower case.
        """
        del headers
        return status == _UNAUTHENTICATED

    @abstractmethod
    def parse_answers(self, query: Query, answers: Sequence[HttpAnswer]) -> JsonObject:
        """Return the canonical answer in the successful responses to a plan's requests.

        Raises:
            AdapterError: They are no answer.
        """

    @abstractmethod
    def stream_parser(self, query: Query) -> StreamParser:
        """Return a parser for one streamed answer."""

    @abstractmethod
    def parse_error(self, answer: HttpAnswer) -> AdapterError:
        """Return the error in a failed response, freed from the endpoint's credential."""
