"""A provider that costs next to nothing: canned answers from a raw asyncio protocol.

They have OpenAI's form, or Anthropic's where its path is asked.

It never closes a connection, and counts what it answers. `bench/provider.py` runs it in a process
of its own, so that its CPU time is counted apart; tests run it in their own loop. The strict
emulator is `tests/emulators`.
"""

import argparse
import asyncio
import json
import re
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Self, cast

import uvloop

_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_MODEL = re.compile(rb'"model" *: *"([^"]*)"')
_STREAM = re.compile(rb'"stream" *: *true')
_JSON_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)
_ANSWER = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"%(model)s",'
    b'"choices":[{"index":0,"message":{"role":"assistant","content":"%(model)s"},'
    b'"logprobs":null,"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":9,"completion_tokens":12,"total_tokens":21}}'
)
_CHUNK = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,'
    b'"model":"%(model)s","choices":[{"index":0,"delta":%(delta)s,"finish_reason":%(finish)s}]}'
    b"\n\n"
)
_DONE = b"data: [DONE]\n\n"
_MESSAGES_START = b"POST /v1/messages "
_MESSAGE = (
    b'{"id":"msg_1","type":"message","role":"assistant","model":"%(model)s",'
    b'"content":[{"type":"text","text":"%(model)s"}],"stop_reason":"end_turn",'
    b'"stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":12}}'
)
_MESSAGE_BEGINS = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1",'
    b'"type":"message","role":"assistant","model":"%(model)s","content":[],"stop_reason":null,'
    b'"stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":1}}}\n\n'
    b'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
    b'"content_block":{"type":"text","text":""}}\n\n'
)
_MESSAGE_PART = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    b'"delta":{"type":"text_delta","text":"%(model)s"}}\n\n'
)
_MESSAGE_ENDS = (
    b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn",'
    b'"stop_sequence":null},"usage":{"output_tokens":12}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)
COUNTS_PATH = "/counts"
_COUNTS_START = f"GET {COUNTS_PATH} ".encode()


@dataclass(frozen=True, slots=True)
class StreamShape:
    """How a streamed answer arrives: `chunks` of content, `interval_seconds` apart."""

    chunks: int = 50
    interval_seconds: float = 0.0


@dataclass(slots=True)
class Counts:
    """What a provider has done."""

    connections: int = 0
    requests: int = 0
    # Of streams, without `[DONE]`.
    chunks: int = 0

    def __sub__(self, earlier: "Counts") -> "Counts":
        """Return what came between."""
        return Counts(
            self.connections - earlier.connections,
            self.requests - earlier.requests,
            self.chunks - earlier.chunks,
        )


class _ProviderConnection(asyncio.Protocol):
    def __init__(self, provider: "MockProvider") -> None:
        self._provider = provider
        self._shape = provider.shape
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.Handle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        set_no_delay(transport)
        # uvloop's transports do not derive from asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._provider.connections.add(self)
        self._provider.counts.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._transport = None
        self._provider.connections.discard(self)
        self._provider.moved.set()
        if self._timer:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head_end = self._received.find(_HEAD_END)
        if head_end < 0:
            return
        length = _LENGTH.search(self._received, 0, head_end)
        body_end = head_end + len(_HEAD_END) + (int(length[1]) if length else 0)
        if len(self._received) < body_end:
            return
        message = bytes(self._received[:body_end])
        del self._received[:body_end]
        if message.startswith(_COUNTS_START):
            self._write_json(json.dumps(asdict(self._provider.counts)).encode())
        else:
            self._answer(message[head_end:], messages=message.startswith(_MESSAGES_START))

    def close(self) -> None:
        if self._transport:
            self._transport.close()

    def _answer(self, body: bytes, *, messages: bool) -> None:
        self._provider.counts.requests += 1
        model = _MODEL.search(body)
        name = model[1] if model else b""
        if _STREAM.search(body):
            self._write(_STREAM_HEAD)
            self._stream(self._message_event if messages else self._chunk_event, name, 0)
        else:
            self._write_json((_MESSAGE if messages else _ANSWER) % {b"model": name})

    def _write_json(self, answer: bytes) -> None:
        self._write(_JSON_HEAD % len(answer) + answer)

    def _stream(self, event: Callable[[bytes, int], bytes], model: bytes, index: int) -> None:
        last = index == self._shape.chunks - 1
        self._provider.counts.chunks += 1
        self._write(_chunked(event(model, index)) + (b"0\r\n\r\n" if last else b""))
        if not last:
            self._timer = asyncio.get_running_loop().call_later(
                self._shape.interval_seconds, self._stream, event, model, index + 1
            )

    def _chunk_event(self, model: bytes, index: int) -> bytes:
        last = index == self._shape.chunks - 1
        delta = b'{"content":"%s"}' % model if index else b'{"role":"assistant","content":""}'
        finish = b'"stop"' if last else b"null"
        event = _CHUNK % {b"model": model, b"delta": delta, b"finish": finish}
        return event + _DONE if last else event

    def _message_event(self, model: bytes, index: int) -> bytes:
        begins = b"" if index else _MESSAGE_BEGINS % {b"model": model}
        ends = _MESSAGE_ENDS if index == self._shape.chunks - 1 else b""
        return begins + _MESSAGE_PART % {b"model": model} + ends

    def _write(self, data: bytes) -> None:
        if self._transport:
            self._transport.write(data)


def set_no_delay(transport: asyncio.BaseTransport) -> None:
    """Send each write at once: Nagle's algorithm would add 40 ms to some."""
    raw: socket.socket = transport.get_extra_info("socket")
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class MockProvider:
    """Serves on a port while its context is open."""

    def __init__(self, shape: StreamShape, port: int = 0, host: str = "127.0.0.1") -> None:
        """Keep the shape of streams, and where to listen: port 0 picks a free one."""
        self.shape = shape
        self.counts = Counts()
        self.connections: set[_ProviderConnection] = set()
        self.moved = asyncio.Event()
        self._port = port
        self._host = host
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """The address, without a path."""
        assert self._server is not None
        return f"http://{self._host}:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        """Start to listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _ProviderConnection(self), self._host, self._port, backlog=1024
        )
        return self

    async def __aexit__(self, *_exception: object) -> None:
        """Stop to listen and close every connection."""
        if self._server:
            self._server.close()
        while self.connections:
            self.moved.clear()
            for connection in list(self.connections):
                connection.close()
            await self.moved.wait()


def _chunked(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def _run(shape: StreamShape, port: int, host: str) -> None:
    async with MockProvider(shape, port, host) as provider:
        print(provider.url, flush=True)
        await asyncio.Event().wait()


def main() -> None:
    """Serve until killed; the first line of output is the URL."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--chunks", type=int, default=50)
    parser.add_argument("--chunk-interval-seconds", type=float, default=0.0)
    arguments = parser.parse_args()
    shape = StreamShape(arguments.chunks, arguments.chunk_interval_seconds)
    uvloop.run(_run(shape, arguments.port, arguments.host))


if __name__ == "__main__":
    main()
