"""A request and an answer on a socket: HTTP/1.1 as far as workers need it, and within bounds."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
import time
from typing import NamedTuple

from .refusals import Refused, bad_request

MOST_BODY_BYTES = 16 << 20
_MOST_HEAD_BYTES = 32 << 10
# Two of them would be two lengths of one body.
_ONCE = ("content-length", "transfer-encoding")
_IDLE_SECONDS = 300.0
_HEAD_SECONDS = 10.0
_BODY_SECONDS = 60.0
_READ_BYTES = 64 << 10
_REQUEST_LINE_WORDS = 3
_DRAINED_BYTES = 64 << 10
_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


class Gone(Exception):
    """The other end closed the connection, or is too slow."""


class Head(NamedTuple):
    """What comes before a body; names of headers in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    keep_alive: bool


class Connection:
    """One caller's connection."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self._left = b""
        self._is_secure = False
        # Two threads at a time may not use what encrypts.
        self._turn = threading.Lock()
        # Whether calls wait on the socket; to change that is a call of the system, too.
        self._waits = True
        # Says without an exception that nothing has come, which is so after each chunk of a stream.
        self._news = select.poll()
        self._news.register(connected, select.POLLIN)

    def secure(self, tls: ssl.SSLContext) -> None:
        """Speak TLS from now on.

        Raises:
            Gone: The caller does not.
        """
        try:
            self._wait_for(_HEAD_SECONDS)
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        except (OSError, ValueError) as error:
            raise Gone from error
        self._is_secure = True

    def read_head(self) -> Head | None:
        """Wait for the next request; none when the caller has no more.

        Raises:
            Refused: It is no request.
            Gone: It stopped in the middle.
        """
        data = self._left or self._receive(_IDLE_SECONDS, at_end=b"")
        if not data:
            return None
        end = data.find(b"\r\n\r\n")
        deadline = 0.0
        while end < 0:
            if len(data) > _MOST_HEAD_BYTES:
                raise Refused(431, "BAD_REQUEST", "The headers of the request are too large.")
            deadline = deadline or time.monotonic() + _HEAD_SECONDS
            data += self._receive(deadline - time.monotonic())
            end = data.find(b"\r\n\r\n")
        self._left = data[end + 4 :]
        return _parse_head(data[:end])

    def read_body(self, head: Head) -> bytes:
        """Return a request's whole body.

        Raises:
            Refused: It is too large, or not as its head says.
            Gone: It stopped in the middle, or came too slowly.
        """
        length = _length_of(head)
        if length == 0:
            return b""
        if head.headers.get("expect", "").lower() == "100-continue":
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        deadline = time.monotonic() + _BODY_SECONDS
        if length is None:
            return self._read_chunks(deadline)
        return self._read_exactly(length, deadline)

    def drain(self, head: Head) -> bool:
        """Read a body that nobody wants, if it is small; false if the connection has to close."""
        length = _length_of(head)
        if length is None or length > _DRAINED_BYTES:
            return False
        self._read_exactly(length, time.monotonic() + _HEAD_SECONDS)
        return True

    def answer(
        self, status: int, body: bytes, headers: str = "", *, keep_alive: bool = True
    ) -> None:
        """Send a whole answer of JSON; `headers` are lines with their ends."""
        head = "HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%s%s\r\n"
        close = "" if keep_alive else "connection: close\r\n"
        self.send((head % (status, _REASONS[status], len(body), headers, close)).encode() + body)

    def send(self, data: bytes, seconds: float = _BODY_SECONDS) -> None:
        """Send bytes.

        Raises:
            Gone: Nobody takes them.
        """
        try:
            with self._turn:
                # A chunk of a stream has room, as a rule: it is one call then.
                sent = 0 if self._is_secure else self._send_now(data)
                if sent < len(data):
                    self._wait_for(seconds)
                    self.socket.sendall(data[sent:])
        except OSError as error:
            raise Gone from error

    def is_gone(self) -> bool:
        """Whether the caller has closed the connection, as far as it is known here."""
        try:
            with self._turn:
                if not self._news.poll(0):
                    return False
                self._wait_not()
                if not self._is_secure:
                    return not self.socket.recv(1, socket.MSG_PEEK)
                # What is encrypted cannot be looked at without being taken.
                piece = self.socket.recv(1)
                self._left += piece
                return not piece
        except (BlockingIOError, InterruptedError, ssl.SSLWantReadError):
            return False
        except OSError:
            return True

    def finish(self) -> None:
        """Say that nothing more will be sent."""
        self.shut(socket.SHUT_WR)

    def shut(self, how: int) -> None:
        """End one direction of the connection, whoever uses it."""
        with contextlib.suppress(OSError):
            # Not as TLS has it, which would go on without encryption.
            socket.socket.shutdown(self.socket, how)

    def close(self) -> None:
        """Close it so that what was sent last still arrives."""
        self.shut(socket.SHUT_WR)
        try:
            self._wait_for(1.0)
            # Closing with bytes unread would reset the connection under the answer.
            for _ in range(MOST_BODY_BYTES // _READ_BYTES):
                if not self.socket.recv(_READ_BYTES):
                    break
        except OSError:
            pass
        self.socket.close()

    def _send_now(self, data: bytes) -> int:
        """Send what there is room for; return how much."""
        self._wait_not()
        try:
            return self.socket.send(data)
        except (BlockingIOError, InterruptedError):
            return 0

    def _wait_for(self, seconds: float) -> None:
        self._waits = True
        self.socket.settimeout(max(seconds, 0.001))

    def _wait_not(self) -> None:
        if self._waits:
            self.socket.settimeout(0)
            self._waits = False

    def _receive(self, seconds: float, at_end: bytes | None = None) -> bytes:
        try:
            self._wait_for(seconds)
            data = self.socket.recv(_READ_BYTES)
        except OSError as error:
            raise Gone from error
        if not data and at_end is None:
            raise Gone
        return data

    def _read_exactly(self, length: int, deadline: float) -> bytes:
        if len(self._left) >= length:
            body, self._left = self._left[:length], self._left[length:]
            return body
        whole = bytearray(length)
        filled = len(self._left)
        whole[:filled] = self._left
        self._left = b""
        view = memoryview(whole)
        try:
            while filled < length:
                self._wait_for(deadline - time.monotonic())
                count = self.socket.recv_into(view[filled:])
                if not count:
                    break
                filled += count
        except OSError as error:
            raise Gone from error
        if filled < length:
            raise Gone
        return bytes(whole)

    def _read_chunks(self, deadline: float) -> bytes:
        whole = bytearray()
        while True:
            size = _chunk_size(self._read_line(deadline))
            if len(whole) + size > MOST_BODY_BYTES:
                raise _too_large()
            if not size:
                while self._read_line(deadline):
                    pass  # trailers
                return bytes(whole)
            whole += self._read_exactly(size, deadline)
            if self._read_line(deadline):
                raise bad_request("The chunks of the request's body are malformed.")

    def _read_line(self, deadline: float) -> bytes:
        while b"\r\n" not in self._left:
            if len(self._left) > _MOST_HEAD_BYTES:
                raise bad_request("The chunks of the request's body are malformed.")
            self._left += self._receive(deadline - time.monotonic())
        line, self._left = self._left.split(b"\r\n", 1)
        return line


def _parse_head(data: bytes) -> Head:
    lines = data.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    headers = {}
    for line in lines[1:]:
        name, separator, value = line.partition(":")
        if not separator or not name or name != name.strip():
            raise _no_head()
        if name.lower() in _ONCE and name.lower() in headers:
            raise bad_request("The request says twice how long its body is.")
        headers[name.lower()] = value.strip()
    if len(words) != _REQUEST_LINE_WORDS or not words[2].startswith("HTTP/1."):
        raise _no_head()
    method, path, version = words
    keep_alive = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
    return Head(method, path, headers, keep_alive)


def _no_head() -> Refused:
    return bad_request("The head of the request is not HTTP/1.1.")


def _length_of(head: Head) -> int | None:
    """Return how long a body is; none if it comes in chunks."""
    encoding = head.headers.get("transfer-encoding", "")
    length = head.headers.get("content-length", "")
    if encoding:
        if encoding.lower() != "chunked" or length:
            raise bad_request("The request says in two ways how long its body is.")
        return None
    if not length:
        return 0
    if not (length.isascii() and length.isdigit()):
        raise bad_request("The content-length of the request is no number.")
    if len(length) > len(str(MOST_BODY_BYTES)) or int(length) > MOST_BODY_BYTES:
        raise _too_large()
    return int(length)


def _chunk_size(line: bytes) -> int:
    try:
        size = int(line.split(b";")[0], 16)
    except ValueError as error:
        raise bad_request("The chunks of the request's body are malformed.") from error
    if size < 0:
        raise bad_request("The chunks of the request's body are malformed.")
    return size


def _too_large() -> Refused:
    return Refused(
        413,
        "BAD_REQUEST",
        "The request is too large: its body may hold %d bytes." % MOST_BODY_BYTES,
    )
