"""Turns a request into the bytes of its head, so that no URL or header can add lines of its own.

Used by `http/client.py`; where a request goes is read once per URL.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ssl import SSLContext
from typing import NamedTuple, Protocol
from urllib.parse import SplitResult, urlsplit

from modelplane.adapters.providers.http1.errors import RequestInvalid

_PORTS = {"http": 80, "https": 443}
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
# No space, no control character, nothing that parsers of URLs disagree about.
_URL = re.compile(r"[!#-\[\]-~]+")
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# The transport frames messages and owns connections; a second opinion in a header would be
# request smuggling.
_RESERVED = frozenset(
    {
        *("accept-encoding", "connection", "content-length", "expect", "host", "keep-alive"),
        *("proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
        "user-agent",
    }
)
# Compression would cost both sides more than it saves, and delays streams.
_CONSTANT = "user-agent: modelplane\r\naccept-encoding: identity\r\n"


class Request(Protocol):
    """What a head is made of."""

    @property
    def method(self) -> str:
        """HTTP method."""

    @property
    def headers(self) -> Mapping[str, str]:
        """All headers but the transport's own."""

    @property
    def body(self) -> bytes:
        """The encoded body."""


class Origin(NamedTuple):
    """Where connections lead that requests may share.

    Attributes:
        scheme: `http` or `https`.
        host: Name or address, in lower case, without brackets.
        port: TCP port.
        trusted: The operator named it, so that its addresses are not looked at.
        pinned: What alone is believed there, in place of the authorities that all others need.
    """

    scheme: str
    host: str
    port: int
    trusted: bool = False
    pinned: SSLContext | None = None


@dataclass(slots=True)
class Target:
    """Where a URL leads, and what it contributes to the head; the URL may hold a credential.

    The last head is kept as well, as far as it does not depend on the body: most requests to a URL
    differ in nothing else.
    """

    origin: Origin
    head: str = field(repr=False)
    method: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    encoded: bytes = field(default=b"", repr=False)


@lru_cache(maxsize=1024)
def parse_target(url: str) -> Target:
    """Return where `url` leads.

    Raises:
        RequestInvalid: It is no absolute HTTP URL, or names a user.
    """
    parts = _split(url)
    path = parts.path or "/"
    query = f"?{parts.query}" if "?" in url.partition("#")[0] else ""
    head = f" {path}{query} HTTP/1.1\r\nhost: {parts.netloc}\r\n{_CONSTANT}"
    return Target(_origin(parts), head)


def parse_origin(url: str) -> Origin:
    """Return the origin of `url`.

    Raises:
        RequestInvalid: As for `parse_target`.
    """
    return _origin(_split(url))


def encode_head(target: Target, request: Request) -> bytes:
    """Return the request line and all headers.

    Raises:
        RequestInvalid: They would not be one head, or contradict the transport's own headers.
    """
    if request.headers != target.headers or request.method != target.method:
        target.encoded = _encode_start(target, request)
        target.method, target.headers = request.method, request.headers
    length = len(request.body)
    if not length and request.method == "GET":
        return target.encoded + b"\r\n"
    return b"%bcontent-length: %d\r\n\r\n" % (target.encoded, length)


def _encode_start(target: Target, request: Request) -> bytes:
    """Return the head up to the length of the body."""
    fields = _encode_fields(request.headers)
    if request.method not in _METHODS:
        raise RequestInvalid("the method is not supported")
    accept = "" if "accept" in request.headers else "accept: */*\r\n"
    try:
        return f"{request.method}{target.head}{accept}{fields}".encode()
    except UnicodeEncodeError:
        # Without its cause, which would repeat the value.
        raise RequestInvalid("a header's value is not text") from None


def _encode_fields(headers: Mapping[str, str]) -> str:
    fields = "".join([f"{_checked(name)}: {value}\r\n" for name, value in headers.items()])
    # Counted over all of them at once: a line break inside a value shows as one too many.
    if fields.count("\n") != len(headers) or fields.count("\r") != len(headers) or "\0" in fields:
        raise RequestInvalid("a header's value holds a line break or NUL")
    return fields


@lru_cache(maxsize=256)
def _checked(name: str) -> str:
    if not _TOKEN.fullmatch(name) or name.lower() in _RESERVED:
        raise RequestInvalid("a header's name is invalid or reserved")
    return name


def _split(url: str) -> SplitResult:
    if not _URL.fullmatch(url):
        raise RequestInvalid("the URL holds characters that it must encode")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise RequestInvalid("the URL is invalid") from None
    if parts.scheme not in _PORTS or "@" in parts.netloc:
        raise RequestInvalid("the URL is not HTTP, or names a user")
    return parts


def _origin(parts: SplitResult) -> Origin:
    try:
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise RequestInvalid("the URL's port is invalid") from None
    if not _HOST.fullmatch(host) or port == 0:
        raise RequestInvalid("the URL's host or port is invalid")
    return Origin(parts.scheme, host, _PORTS[parts.scheme] if port is None else port)
