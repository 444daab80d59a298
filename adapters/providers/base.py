"""What an adapter is: pure translation between the canonical form and one provider's wire format.

An adapter is built once per served entity, does no I/O and keeps nothing of a call. Its `signer`
proves whose the requests are, `http/transport.py` sends them, `registry.py` finds the adapter of a
provider.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Protocol

from modelplane.adapters.providers.credentials.signers import Signer
from modelplane.adapters.providers.errors import AdapterError
from modelplane.adapters.providers.http.sse import events_before
from modelplane.adapters.providers.types import (
    HttpAnswer,
    Image,
    JsonObject,
    NativeRequest,
    Plan,
    Query,
    Usage,
    as_count,
)


class StreamParser(Protocol):
    """Turns the bytes of one streamed answer into canonical chunks, however they are split."""

    @property
    def ended(self) -> bool:
        """Whether the provider has marked the end of the answer."""

    @property
    def usage(self) -> Usage | None:
        """What the provider has counted so far and no chunk has said; None: nothing.

        It counts where the stream breaks before a chunk says it.
        """

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


class Passage(ABC):
    """Passes requests of one protocol to one served entity, untranslated; see `passage.py`."""

    __slots__ = ()

    @abstractmethod
    def plan(self, native: NativeRequest, *, stream: bool) -> Plan:
        """Return the request to the provider.

        Raises:
            RequestRefused: It cannot be encoded.
        """

    @abstractmethod
    def usage(self, answer: JsonObject) -> Usage | None:
        """Return the usage in a whole answer, None where it has none."""

    @abstractmethod
    def error(self, answer: JsonObject) -> AdapterError | None:
        """Return the error that a whole answer with status 200 is, if it is one."""

    @abstractmethod
    def parser(self) -> StreamParser:
        """Return a parser that reads a stream beside its passing; its chunks are canonical."""

    def plan_count(self, native: NativeRequest) -> Plan | None:
        """Return the request that asks how many tokens a query has; None: the provider has none.

        Raises:
            RequestRefused: It cannot be encoded.
        """
        del native
        return None

    def counted(self, answer: JsonObject) -> int | None:
        """Return the number in the answer to such a request; None: it has none."""
        return as_count(answer.get("input_tokens"))

    def passed(self, parser: StreamParser, data: bytes) -> bytes:
        """Return what the caller gets for bytes of a stream.

        Args:
            parser: The stream's, which has been fed with them.
            data: What has come.
        """
        del parser
        return data

    def before_error(self, parser: StreamParser, data: bytes, error: AdapterError) -> bytes:
        """Return what the caller gets of bytes in which the parser has found an error.

        Args:
            parser: The stream's, which has been fed with them.
            data: What has come, and what of an event had come before.
            error: The error.
        """
        del parser
        return events_before(data, error.event)


class Adapter(ABC):
    """Translates the queries of one served entity.

    Attributes:
        signer: Signs its requests.
        streams_lines: Whether its streams are lines of JSON, and so begin as whole answers do.
    """

    __slots__ = ()

    signer: Signer = Signer()
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

    def passage(self, protocol: str) -> Passage | None:
        """Return how requests of a protocol pass to the provider; None: they have to be translated.

        Args:
            protocol: Name of the protocol, as in `NativeRequest`.
        """
        del protocol
        return None

    def concedes(self, plan: Plan, error: AdapterError) -> bool:
        """Return whether a stream's query is to be planned anew, without what was refused of it.

        Args:
            plan: How it was put.
            error: What the provider answered.
        """
        del plan, error
        return False

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
        """Return the error in a failed response."""
