"""A client that sends the bytes it is told to, and a listener for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from modelplane.data_plane.hosts.http1.connection import Application
from modelplane.data_plane.hosts.http1.listener import Bounds, Listener

WAIT_SECONDS = 120


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes = b""
    trailers: dict[str, str] = field(default_factory=dict)


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def post(self, path: str, body: bytes = b"", **headers: str) -> None:
        given = {"host": "x", "content-length": str(len(body))}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        self.send(f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + body)

    async def answer(self, *, to_head: bool = False) -> Answer:
        """Return the next answer, whose framing is checked as it is read."""
        async with asyncio.timeout(WAIT_SECONDS):
            line = await self.reader.readline()
            assert line.startswith(b"HTTP/1.1 ")
            answer = Answer(int(line.split()[1]), await self._fields())
            if answer.headers.get("transfer-encoding") == "chunked":
                while data := await self.chunk():
                    answer.body += data
                answer.trailers = await self._fields()
            elif not to_head:
                length = int(answer.headers["content-length"])
                answer.body = await self.reader.readexactly(length)
        return answer

    async def chunk(self) -> bytes:
        """Return the next chunk of a body; empty: it was the last."""
        size = int(await self.reader.readline(), 16)
        if not size:
            return b""
        data = await self.reader.readexactly(size)
        assert await self.reader.readexactly(2) == b"\r\n"
        return data

    async def at_end(self) -> bool:
        """Wait for the end of the connection; return whether nothing came before it."""
        async with asyncio.timeout(WAIT_SECONDS):
            try:
                return not await self.reader.read()
            except ConnectionResetError:
                return True

    def leave(self) -> None:
        self.writer.transport.abort()

    async def _fields(self) -> dict[str, str]:
        fields: dict[str, str] = {}
        while (line := await self.reader.readline()) != b"\r\n":
            name, _, value = line.decode("latin-1").removesuffix("\r\n").partition(": ")
            fields[name] = value
        return fields


class Server:
    """A listener on a path."""

    def __init__(self, listener: Listener, path: Path) -> None:
        self.listener = listener
        self.path = path

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Client]:
        reader, writer = await asyncio.open_unix_connection(self.path, limit=1 << 20)
        try:
            yield Client(reader, writer)
        finally:
            writer.transport.abort()


@asynccontextmanager
async def listening(
    application: Application, directory: Path, bounds: Bounds | None = None
) -> AsyncIterator[Server]:
    listener = Listener(application, bounds or Bounds())
    path = directory / "s"
    async with listener.listening(f"unix:{path}", None):
        listener.take_over()
        yield Server(listener, path)
