"""A raw HTTP/1.1 client over one keep-alive connection, that costs little itself.

`bench/soak.py`, `bench/stream_crowd.py` and the fault tests drive it. It reads what servers here
send: answers with a content length, and chunked ones.
"""

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

from bench.mock_provider import set_no_delay

_HEAD_END = b"\r\n\r\n"
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What came back for one request."""

    status: int
    head: bytes
    body: bytes

    def header(self, name: str) -> str | None:
        """Return a header's value, None where it is absent."""
        pattern = rb"\r\n" + re.escape(name.encode()) + rb": *([^\r\n]*)"
        found = re.search(pattern, self.head, re.IGNORECASE)
        return found[1].decode() if found else None


class HttpConnection(asyncio.Protocol):
    """One connection, that carries one request at a time."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._body = bytearray()
        self._head: bytes | None = None
        self._left: int | None = None
        self._answer: asyncio.Future[HttpAnswer] | None = None
        self._transport: asyncio.Transport | None = None
        self._lost = asyncio.Event()

    @classmethod
    async def open(cls, url: str) -> "HttpConnection":
        """Connect to the host and port of `url`."""
        parts = urlsplit(url)
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(cls, parts.hostname or "", parts.port or 80)
        return connection

    @property
    def closed(self) -> bool:
        """Whether the connection can carry no further request."""
        return self._transport is None or self._transport.is_closing()

    async def aclose(self) -> None:
        """Close the connection and wait until it is closed."""
        if self._transport:
            self._transport.close()
            await self._lost.wait()

    def request(self, message: bytes) -> "asyncio.Future[HttpAnswer]":
        """Send a whole request; the future holds its whole answer, or a `ConnectionError`."""
        self._answer = asyncio.get_running_loop().create_future()
        if self._transport is None or self._transport.is_closing():
            self._answer.set_exception(ConnectionResetError("the connection is closed"))
        else:
            self._transport.write(message)
        return self._answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; asyncio calls this."""
        set_no_delay(transport)
        # uvloop's transports do not derive from asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the request in flight; asyncio calls this."""
        self._transport = None
        self._lost.set()
        if self._answer and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("closed in mid-answer"))

    def data_received(self, data: bytes) -> None:
        """Read on in the answer; asyncio calls this."""
        self._received += data
        if self._head is None and not self._read_head():
            return
        complete = self._read_chunks() if self._left is None else self._read_rest(self._left)
        if complete and self._answer and not self._answer.done():
            assert self._head is not None
            status = _STATUS.match(self._head)
            assert status is not None
            answer = HttpAnswer(int(status[1]), self._head, bytes(self._body))
            self._head, self._body = None, bytearray()
            self._answer.set_result(answer)

    def _read_head(self) -> bool:
        end = self._received.find(_HEAD_END)
        if end < 0:
            return False
        self._head = bytes(self._received[:end]) + b"\r\n"
        del self._received[: end + len(_HEAD_END)]
        length = _LENGTH.search(self._head)
        chunked = _CHUNKED.search(self._head)
        self._left = None if chunked else int(length[1]) if length else 0
        return True

    def _read_rest(self, left: int) -> bool:
        self._body += self._received[:left]
        self._left = left - len(self._received[:left])
        del self._received[:left]
        return self._left == 0

    def _read_chunks(self) -> bool:
        while (line_end := self._received.find(b"\r\n")) >= 0:
            size = int(self._received[:line_end].split(b";")[0], 16)
            end = line_end + 2 + size + 2
            if len(self._received) < end:
                return False
            self._body += self._received[line_end + 2 : end - 2]
            del self._received[:end]
            if size == 0:
                return True
        return False


def build_request(
    method: str,
    url: str,
    headers: Mapping[str, str] | None = None,
    body: object = None,
) -> bytes:
    """Return the bytes of a request.

    Args:
        method: HTTP method.
        url: Absolute URL.
        headers: Headers beside host, content type and content length.
        body: JSON value; None: no body.
    """
    parts = urlsplit(url)
    content = b"" if body is None else json.dumps(body).encode()
    lines = [
        f"{method} {parts.path or '/'}{'?' + parts.query if parts.query else ''} HTTP/1.1",
        f"host: {parts.netloc}",
        "content-type: application/json",
        f"content-length: {len(content)}",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
    ]
    return "\r\n".join(lines).encode() + _HEAD_END + content
