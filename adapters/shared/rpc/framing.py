"""The gRPC protocol over HTTP/2: messages in bodies, deadlines and statuses in headers; pure.

Source: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md. Used by hosts that get HTTP
requests rather than gRPC calls.
"""

import zlib
from collections.abc import Mapping
from urllib.parse import quote

# A flag that says whether the message is compressed, and its length.
PREFIX_BYTES = 5
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_MAX_TIMEOUT_DIGITS = 8
# All printable characters but the percent sign stand for themselves.
_PLAIN = " !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"


# What may be undone, and how `zlib` is told of the form.
_FORMS: Mapping[str, int] = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
IDENTITY = "identity"
# In the order in which gRPC's own servers name them.
ENCODINGS = (IDENTITY, "deflate", "gzip")


class FrameError(Exception):
    """A body holds no gRPC messages; the text says why."""


class MessageTooLong(FrameError):
    """A message is longer than this side takes."""


def encode_message(message: bytes) -> bytes:
    """Return a message as it is in a body."""
    return b"\0" + len(message).to_bytes(4, "big") + message


class MessageReader:
    """Finds the messages in the parts of a body."""

    __slots__ = ("_buffer", "_encoding", "_limit")

    def __init__(self, limit: int, encoding: str = IDENTITY) -> None:
        """Take messages.

        Args:
            limit: Longest message, in bytes, also when it is no longer compressed.
            encoding: How those are compressed that say so: one of `ENCODINGS`.
        """
        self._buffer: bytes | bytearray = b""
        self._limit = limit
        self._encoding = encoding

    def feed(self, data: bytes) -> list[bytes]:
        """Return the messages that `data` completes.

        Raises:
            MessageTooLong: A message is too long; raised before it is read.
            FrameError: A message is not compressed in the way that it should be.
        """
        buffer = self._buffer
        if not buffer and self._is_one(data):
            return [data[PREFIX_BYTES:]]
        # Added to in place: in how many parts a body comes must not decide what it costs.
        if buffer:
            buffer += data
        else:
            buffer = data
        messages = []
        start = 0
        while len(buffer) - start >= PREFIX_BYTES:
            content = start + PREFIX_BYTES
            length = int.from_bytes(buffer[start + 1 : content], "big")
            is_compressed = buffer[start]
            if length > self._limit:
                raise MessageTooLong(f"a message of {length} bytes is longer than {self._limit}")
            if len(buffer) - content < length:
                break
            start = content + length
            message = bytes(buffer[content:start])
            messages.append(self._decompress(message) if is_compressed else message)
        self._buffer = bytearray(buffer[start:]) if start or buffer is data else buffer
        return messages

    def _is_one(self, data: bytes) -> bool:
        """Tell whether this is one message and nothing else, as almost always."""
        length = len(data) - PREFIX_BYTES
        if not 0 <= length <= self._limit:
            return False
        return data[:PREFIX_BYTES] == b"\0" + length.to_bytes(4, "big")

    def _decompress(self, message: bytes) -> bytes:
        form = _FORMS.get(self._encoding)
        if form is None:
            raise FrameError("a message is compressed, and the headers do not say how")
        stream = zlib.decompressobj(form)
        try:
            content = stream.decompress(message, self._limit + 1)
        except zlib.error:
            raise FrameError(f"a message is no {self._encoding}") from None
        if len(content) > self._limit:
            raise MessageTooLong(f"a message is longer than {self._limit} bytes")
        if not stream.eof:
            raise FrameError(f"a message is no whole {self._encoding}")
        return content

    def finish(self) -> None:
        """Check that the body ended after a whole message.

        Raises:
            FrameError: It ended within one.
        """
        if self._buffer:
            raise FrameError("the body ends within a message")


def parse_timeout(value: str) -> float | None:
    """Return the seconds that a `grpc-timeout` header grants; None for what is no timeout."""
    digits, unit = value[:-1], value[-1:]
    if unit not in _UNITS or not digits.isascii() or not digits.isdigit():
        return None
    return int(digits) * _UNITS[unit] if len(digits) <= _MAX_TIMEOUT_DIGITS else None


def encode_status_message(message: str) -> str:
    """Return a status message as the `grpc-message` header takes it."""
    return quote(message, safe=_PLAIN, errors="replace")
