"""What calls to providers go over: a response whose body is read on demand, and who sends.

Bodies are read when the caller asks for more, so back-pressure reaches the provider, and closing
a response that is not at its end closes its connection, so cancellation does too.
`client.py` is the one implementation.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from modelplane.adapters.providers.types import HttpRequest

# Of a whole answer, unpacked, and of one event or line of a stream.
MAX_BODY_BYTES = 16 * 1024 * 1024


class HttpResponse(Protocol):
    """A provider's response whose body is read on demand."""

    @property
    def status(self) -> int:
        """HTTP status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers, named in lower case."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """Those of its request, which what the provider says may repeat."""

    async def read(self) -> bytes:
        """Return the next bytes of the body as they arrived; empty at its end.

        Raises:
            AdapterError: The body broke off.
        """

    async def body(self) -> bytes:
        """Return the whole body.

        Raises:
            AdapterError: The body broke off or is too large.
        """

    def close(self) -> None:
        """Give the connection back when the body was read to its end, else close it."""


def tell_nobody() -> None:
    """Do nothing."""


class HttpTransport(Protocol):
    """Sends requests to providers."""

    async def send(
        self, request: HttpRequest, stale: Callable[[], None] = tell_nobody
    ) -> HttpResponse:
        """Return the response once its headers are there; the caller closes it.

        Args:
            request: The request.
            stale: Called where it is sent once more, since the server had given up the connection
                that was kept for it.

        Raises:
            AdapterError: No response could be had.
        """
