"""What a client is to the application: a whole answer, or the chunks of one as they come.

`with_*.py` adapt one client each, as lean as it can be configured; `application.py` calls them.
"""

import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol, TypeAlias

OK = 200
# Longer than anything here takes: the application has deadlines of its own.
DEADLINE_SECONDS = 60.0
# Whether a connection to an address may be opened.
Guard: TypeAlias = Callable[[str], bool]


class Client(Protocol):
    """Sends POST requests."""

    def whole(self, url: str, headers: Mapping[str, str], body: bytes) -> Awaitable[bytes]:
        """Return the body of the answer."""

    def stream(
        self, url: str, headers: Mapping[str, str], body: bytes
    ) -> AsyncGenerator[bytes, None]:
        """Yield the body of the answer as it comes."""


# A module that adapts a client has this by the name `connected`.
Connect: TypeAlias = Callable[[Guard], AbstractAsyncContextManager[Client]]


class CallFailed(Exception):
    """The answer has another status than 200."""


def check_status(status: int) -> None:
    """Raise a CallFailed unless the status is 200."""
    if status != OK:
        raise CallFailed(f"status {status}")


def trusted_authorities() -> bytes:
    """Return the certificates that SSL_CERT_FILE names, else the system's, PEM."""
    file = ssl.get_default_verify_paths().cafile
    return Path(file).read_bytes() if file else b""
