"""A watch stream over HTTP/2 as a worker's, that costs the machine as little as can be.

A client of gRPC takes as much of a processor for each message as the control plane that sent it, so
that two hundred of them on one machine are what is measured. Frames are those of RFC 9113, headers
those of RFC 7541 without a table, messages those of gRPC over HTTP/2.
"""

import asyncio
from collections.abc import Callable
from typing import cast

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_ACK, _END_STREAM, _END_HEADERS = 0x1, 0x1, 0x4
_STREAM = 1
_FRAME_HEAD, _MESSAGE_HEAD = 9, 5
# All that there will ever be is let in at once: nothing else tells the server how much was read.
_WINDOW_BYTES = (1 << 31) - 1
_FIRST_WINDOW_BYTES = 65_535


class WatchStream(asyncio.Protocol):
    """One stream on a connection of its own, for messages that are encoded already.

    Attributes:
        closed: Done when the connection is gone; failed if the server ended the stream.
    """

    def __init__(self, take: "Callable[[WatchStream, bytes], None]", method: str) -> None:
        """Keep what is needed.

        Args:
            take: Takes each message, with the stream to answer on.
            method: Path of the method that is called.
        """
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._take = take
        self._method = method
        self._transport: asyncio.Transport | None = None
        # What has come of frames, and of messages, that are not whole yet.
        self._frames, self._messages = bytearray(), bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open the stream."""
        # That of uvloop is of no class of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        window = b"\x00\x04" + _WINDOW_BYTES.to_bytes(4)
        headers = {
            ":method": "POST",
            ":scheme": "http",
            ":path": self._method,
            ":authority": "bench",
            "content-type": "application/grpc",
            "te": "trailers",
        }
        self._transport.write(
            _PREFACE
            + _frame(_SETTINGS, 0, 0, window)
            + _frame(_WINDOW, 0, 0, (_WINDOW_BYTES - _FIRST_WINDOW_BYTES).to_bytes(4))
            + _frame(
                _HEADERS, _END_HEADERS, _STREAM, b"".join(map(_field, headers, headers.values()))
            )
        )

    def send(self, message: bytes) -> None:
        """Send a message; it is small, so the server's window has room for it."""
        assert self._transport
        data = b"\x00" + len(message).to_bytes(4) + message
        self._transport.write(_frame(_DATA, 0, _STREAM, data))

    def close(self) -> None:
        """Leave."""
        if self._transport:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Take what the server has sent."""
        frames = self._frames
        frames += data
        begin = 0
        while len(frames) >= begin + _FRAME_HEAD:
            payload_at = begin + _FRAME_HEAD
            end = payload_at + int.from_bytes(frames[begin : begin + 3])
            if len(frames) < end:
                break
            self._take_frame(frames[begin + 3], frames[begin + 4], bytes(frames[payload_at:end]))
            begin = end
        del frames[:begin]

    def connection_lost(self, error: Exception | None) -> None:
        """End."""
        self._end(error)

    def _take_frame(self, kind: int, flags: int, payload: bytes) -> None:
        assert self._transport
        if kind == _DATA:
            self._messages += payload
            self._take_messages()
        elif kind in (_SETTINGS, _PING) and not flags & _ACK:
            self._transport.write(_frame(kind, _ACK, 0, payload if kind == _PING else b""))
        elif kind in (_RESET, _GOAWAY) or (kind == _HEADERS and flags & _END_STREAM):
            self._end(ConnectionError(f"the server ended the stream: {payload!r}"))

    def _take_messages(self) -> None:
        while len(self._messages) >= _MESSAGE_HEAD:
            end = _MESSAGE_HEAD + int.from_bytes(self._messages[1:_MESSAGE_HEAD])
            if len(self._messages) < end:
                return
            message = bytes(self._messages[_MESSAGE_HEAD:end])
            del self._messages[:end]
            self._take(self, message)

    def _end(self, error: Exception | None) -> None:
        if self.closed.done():
            return
        if error:
            self.closed.set_exception(error)
        else:
            self.closed.set_result(None)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def _field(name: str, value: str) -> bytes:
    """Return a header as a literal that no table keeps; name and value are short."""
    return b"".join((b"\x00", *(bytes((len(part),)) + part.encode() for part in (name, value))))
