"""A loopback HTTP server that says exactly the bytes a test gives it, when the test says so."""

import asyncio
from typing import Self

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT_STREAM = HEAD % b"text/event-stream"
END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def document(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


class Upstream:
    """Answers each request with what `say` queued.

    Attributes:
        requests: Head and body of each request.
        connections: Number of connections accepted.
        closed: Number of connections that the caller closed.
        seen_request: Set when a request arrives.
        seen_close: Set when the caller closes a connection.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, bytes]] = []
        self.connections = 0
        self.closed = 0
        self.seen_request = asyncio.Event()
        self.seen_close = asyncio.Event()
        self.url = ""
        self._answered = 0
        self._said: bytes | None = None
        self._script: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    def say(self, *parts: bytes | None) -> None:
        """Send bytes on the connection that asked last; None closes it."""
        for part in parts:
            self._script.put_nowait(part)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        speaker = asyncio.create_task(self._speak(writer))
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next(
                    int(line.split(":")[1])
                    for line in head.lower().splitlines()
                    if line.startswith("content-length:")
                )
                self.requests.append((head, await reader.readexactly(length)))
                self.seen_request.set()
        except (asyncio.IncompleteReadError, ConnectionError):
            self.closed += 1
            self.seen_close.set()
        finally:
            speaker.cancel()
            writer.close()

    async def _speak(self, writer: asyncio.StreamWriter) -> None:
        while True:
            while len(self.requests) <= self._answered:
                self.seen_request.clear()
                await self.seen_request.wait()
            await self._speak_once(writer)

    async def _speak_once(self, writer: asyncio.StreamWriter) -> None:
        """Say what belongs to one request: all up to the next head."""
        part = self._said or await self._script.get()
        self._said = None
        while part is not None:
            writer.write(part)
            await writer.drain()
            part = await self._script.get()
            if part is not None and part.startswith(b"HTTP/"):
                self._said = part
                self._answered += 1
                return
        writer.close()
        self._answered += 1
