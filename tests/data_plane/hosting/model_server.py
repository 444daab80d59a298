"""A stand-in for the server of a hosted model, which fails in every way that it is told to."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from modelserving.worker.v1 import hosting_pb2 as pb

_IDS = count(1)


@dataclass
class Request:
    """A request as it came."""

    headers: dict[str, str]
    body: bytes
    # Of the event loop's clock, when its head was there.
    came: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class ModelServer:
    """One replica.

    Attributes:
        concurrency: Requests that it answers at a time; it queues as many more and refuses others.
        seconds: How long it takes for each.
        answer: What it answers.
        status: And with which status.
        events: What it answers in a stream; None: it does not stream.
        breaks: Whether it closes the connection in the place of an answer, or of a stream's end.
        hangs: Whether it never answers.
        go: Where there is one, it answers nothing until that is set.
        lingers: Whether it leaves the body of a stream open after the last event.
        requests: What it was asked and has taken.
        refused: How many it has refused.
        cancelled: How many callers went away before they were answered.
        most: The most that it had to answer at a time.
    """

    concurrency: int = 4
    seconds: float = 0.0
    answer: bytes = b'{"predictions": [1.0]}'
    status: int = 200
    events: list[bytes] | None = None
    breaks: bool = False
    hangs: bool = False
    go: asyncio.Event | None = None
    lingers: bool = False
    requests: list[Request] = field(default_factory=list)
    refused: int = 0
    cancelled: int = 0
    most: int = 0
    id: str = field(default_factory=lambda: f"{next(_IDS):032x}")
    token: str = "replica-token"
    port: int = 0
    # File of its certificate and key, and the certificate, DER.
    tls: tuple[Path, bytes] | None = None

    def __post_init__(self) -> None:
        self._inside = 0
        self._slots = asyncio.Semaphore(self.concurrency)
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()

    @property
    def replica(self) -> pb.Replica:
        return pb.Replica(
            id=self.id,
            address=f"127.0.0.1:{self.port}",
            concurrency=self.concurrency,
            token=self.token,
            certificate=self.tls[1] if self.tls else b"",
        )

    async def start(self) -> None:
        tls = None
        if self.tls:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(self.tls[0])
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]

    def open_slots(self, concurrency: int) -> None:
        """Answer so many requests at a time from now on."""
        self.concurrency = concurrency
        self._slots = asyncio.Semaphore(concurrency)

    async def drain(self) -> None:
        """End as a process does that is told to: take no connection more, answer what there is."""
        if self._server is not None:
            self._server.close()
        while self._inside:
            await asyncio.sleep(0.001)
        for writer in list(self._connections):
            writer.close()

    async def die(self) -> None:
        """End as a process that is killed does."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._connections):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while True:
                    await self._exchange(reader, writer)
        finally:
            self._connections.discard(writer)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readuntil(b"\r\n")
        assert line == b"POST /invocations HTTP/1.1\r\n"
        headers = await _fields(reader)
        came = asyncio.get_running_loop().time()
        body = await reader.readexactly(int(headers["content-length"]))
        if headers["authorization"] != f"Bearer {self.token}":
            self._respond(writer, 401, b"{}")
        elif self._inside >= 2 * self.concurrency:
            self.refused += 1
            self._respond(writer, 503, b"{}", busy="1")
        else:
            self.requests.append(Request(headers, body, came))
            await self._work(reader, writer)

    async def _work(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._inside += 1
        self.most = max(self.most, self._inside)
        try:
            async with self._slots:
                await self._evaluate(reader)
                await self._answer(writer)
        finally:
            self._inside -= 1

    async def _evaluate(self, reader: asyncio.StreamReader) -> None:
        """Take as long as the model does, unless the caller goes away."""
        gone = asyncio.ensure_future(reader.read(1))
        go = asyncio.ensure_future(self.go.wait()) if self.go else None
        try:
            if go:
                await asyncio.wait([gone, go], return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait([gone], timeout=None if self.hangs else self.seconds)
            left = gone.done()
        finally:
            gone.cancel()
            if go:
                go.cancel()
        if left:
            self.cancelled += 1
            raise ConnectionResetError
        with suppress(asyncio.CancelledError):
            await gone

    async def _answer(self, writer: asyncio.StreamWriter) -> None:
        if self.events is None:
            if self.breaks:
                writer.transport.abort()
                raise ConnectionResetError
            self._respond(writer, self.status, self.answer)
            return
        head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
        writer.write(f"{head}transfer-encoding: chunked\r\n\r\n".encode())
        for event in self.events:
            writer.write(b"%x\r\n%b\r\n" % (len(event), event))
            await writer.drain()
            await asyncio.sleep(self.seconds)
        if self.breaks:
            writer.transport.abort()
            raise ConnectionResetError
        if self.lingers:
            await asyncio.Event().wait()
        writer.write(b"0\r\n\r\n")

    def _respond(
        self, writer: asyncio.StreamWriter, status: int, body: bytes, busy: str = ""
    ) -> None:
        fields = {"content-type": "application/json", "content-length": str(len(body))}
        # Beside the one that is answered; of those that are refused, none is in it.
        fields["x-modelplane-load"] = str(self._inside - (not busy))
        if busy:
            fields["x-modelplane-busy"] = busy
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        writer.write(f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + body)


async def _fields(reader: asyncio.StreamReader) -> dict[str, str]:
    fields: dict[str, str] = {}
    while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
        name, _, value = line.decode().removesuffix("\r\n").partition(": ")
        fields[name.lower()] = value
    return fields


@asynccontextmanager
async def model_servers(*servers: ModelServer) -> AsyncIterator[None]:
    for server in servers:
        await server.start()
    try:
        yield
    finally:
        for server in servers:
            await server.die()
