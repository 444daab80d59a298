"""A provider that notes what comes and goes, for `behaviour.py`.

`/answer` is answered; `/silent` never; `/pause` with a first chunk and no more; `/flood` with
chunks for as long as they are taken, up to `FLOOD_BYTES`.
"""

import asyncio
import ssl
from typing import Self

FLOOD_BYTES = 64 * 1024 * 1024
_PART = b"x" * 65536
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
# The beginning of HTTP/2, which is agreed on but not spoken.
_HTTP2 = b"pri * http/2.0"
_HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


class Witness:
    """Serves on a loopback port while its context is open.

    Attributes:
        url: Its address, without a path.
        connections: Number of connections that came about, TLS included.
        protocols: What was agreed on for each of them by ALPN; None: nothing.
        requests: Number of requests that were read.
        flooded: Bytes of bodies that were taken.
        seen_request: Set when a request comes.
        seen_close: Set when the client closes a connection.
    """

    def __init__(self, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        """Keep the name by which it is called, and its identity; None: it speaks plain HTTP."""
        self.url = ""
        self.connections = self.requests = self.flooded = 0
        self.protocols: list[str | None] = []
        self.seen_request = asyncio.Event()
        self.seen_close = asyncio.Event()
        self._host = host
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Start to listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        scheme = "https" if self._tls else "http"
        self.url = f"{scheme}://{self._host}:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_exception: object) -> None:
        """Stop to listen and close every connection."""
        if self._server:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        self.connections += 1
        secure: ssl.SSLObject | None = writer.get_extra_info("ssl_object")
        self.protocols.append(secure.selected_alpn_protocol() if secure else None)
        try:
            await self._converse(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.seen_close.set()
        except asyncio.CancelledError:
            # Only by `__aexit__`, which waits for this task; asyncio would call it unhandled.
            return
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            lengths = [line for line in head.splitlines() if line.startswith(b"content-length:")]
            await reader.readexactly(sum(int(line.split(b":")[1]) for line in lengths))
            self.requests += 1
            self.seen_request.set()
            if head.startswith(_HTTP2):
                return
            await self._answer(head.split(maxsplit=2)[1], writer)

    async def _answer(self, path: bytes, writer: asyncio.StreamWriter) -> None:
        if path == b"/answer":
            writer.write(_ANSWER)
        elif path == b"/pause":
            writer.write(_HEAD + _chunk(b"first"))
        elif path == b"/flood":
            writer.write(_HEAD)
            while self.flooded < FLOOD_BYTES:
                writer.write(_chunk(_PART))
                await writer.drain()
                self.flooded += len(_PART)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
