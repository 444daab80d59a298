"""Attacks by callers without a token, over HTTP/1.1 and HTTP/2, while honest callers go on."""

import asyncio

import pytest

from tests.effort import times
from tests.hostile.conftest import HONEST
from tests.hostile.honest import honest_calls
from tests.hostile.stage import ENDPOINTS, MIB, Stage, Tenant, until
from tests.hostile.wire import (
    EMPTY_MESSAGE,
    grpc_headers,
    hold_body,
    http2_connections,
    rest_headers,
)
from tests.http2 import Http2

pytestmark = pytest.mark.asyncio(loop_scope="session")

UNKNOWN = "dapi-of-nobody"
QUERY = f"/serving-endpoints/{HONEST}/invocations"
# Each buffers a body in another process: a worker, Envoy's transcoder, the control plane.
ROUTES = [
    QUERY,
    f"/serving-endpoints/{HONEST}/served-models/mock/invocations",
    ENDPOINTS,
    "/api/2.0/secrets/put",
    "/oidc/v1/token",
]
GRPC_ROUTES = [
    "/modelserving.v1.InferenceService/Query",
    "/modelserving.v1.EndpointService/CreateServingEndpoint",
    "/modelserving.v1.OAuthService/IssueToken",
]
BODIES = times(24, 60)
# What the parts may take for all bodies, of 15 MiB each: buffers of connections, no bodies.
HELD = 200 * MIB


async def _check_memory(stage: Stage, before: dict[str, int], most: int) -> None:
    grown = {name: size - before.get(name, 0) for name, size in stage.memory().items()}
    print({name: f"{size / MIB:+.0f} MiB" for name, size in grown.items()}, end="")  # noqa: T201 - what it shows
    assert sum(grown.values()) < most, grown


@pytest.mark.parametrize("token", ["", UNKNOWN], ids=["none", "unknown"])
@pytest.mark.parametrize("path", ROUTES)
async def test_bodies_before_authentication(
    stage: Stage, honest: Tenant, path: str, token: str
) -> None:
    before, pids = stage.memory(), stage.pids()
    async with honest_calls(honest, HONEST, f"bodies to {path}") as calls:
        prefix = b'{"description":"'
        holds = [
            asyncio.create_task(hold_body(stage, path, 15, token=token, prefix=prefix))
            for _ in range(BODIES)
        ]
        await calls.wait_for(times(20, 45))
        await _check_memory(stage, before, HELD)
        # Whoever has not been refused is cut off for being late.
        async with asyncio.timeout(300):
            answers = await asyncio.gather(*holds)
    assert {answer[:12] for answer in answers} <= {b"HTTP/1.1 400", b"HTTP/1.1 401", b""}
    assert stage.pids() == pids


@pytest.mark.parametrize(
    "headers",
    [
        *(rest_headers(path) for path in ROUTES),
        *(grpc_headers(path) for path in GRPC_ROUTES),
        *(grpc_headers(path, UNKNOWN) for path in GRPC_ROUTES),
    ],
    ids=lambda headers: f"{headers[3][1]}-{headers[4][1]}-{len(headers)}",
)
async def test_http2_bodies_before_authentication(
    stage: Stage, honest: Tenant, headers: list[tuple[str, str]]
) -> None:
    before, pids = stage.memory(), stage.pids()
    name = dict(headers)[":path"]
    async with (
        http2_connections(stage, 4) as connections,
        honest_calls(honest, HONEST, f"HTTP/2 bodies to {name}") as calls,
    ):

        async def hold(connection: Http2) -> None:
            grpc = "grpc" in dict(headers)["content-type"]
            start = b"\0" + (15 * MIB).to_bytes(4) if grpc else b'{"description":"'
            await connection.pour(await connection.call(headers, start, ends=False), 15 * MIB)

        pouring = [asyncio.create_task(hold(connections[number % 4])) for number in range(BODIES)]
        await calls.wait_for(times(20, 45))
        await _check_memory(stage, before, HELD)
        await until(lambda: _none_alive(connections), seconds=300)
        for task in pouring:
            task.cancel()
        await asyncio.gather(*pouring, return_exceptions=True)
    assert stage.pids() == pids


async def _none_alive(connections: list[Http2]) -> bool:
    return not sum(connection.streams.alive for connection in connections)


async def test_streams_that_only_wait(stage: Stage, honest: Tenant) -> None:
    before = stage.memory()
    paths = [
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    ]
    async with (
        http2_connections(stage, times(6, 20)) as connections,
        honest_calls(honest, HONEST, "streams that only wait") as calls,
    ):
        for connection in connections:
            for number in range(min(connection.room, 900)):
                path = paths[number % len(paths)]
                ends = path == paths[0]
                await connection.call(grpc_headers(path), EMPTY_MESSAGE if ends else b"", ends=ends)
        await calls.wait_for(30)
        await _check_memory(stage, before, 100 * MIB)
        await until(lambda: _none_alive(connections))
        statuses = {status for each in connections for status in each.streams.statuses()}
    # Refused: unknown, or without a credential; or shed, where there are very many.
    assert {"12", "16"} <= statuses <= {"12", "16", "14", "8"}, statuses


async def test_a_flood_of_unknown_tokens(stage: Stage, honest: Tenant) -> None:
    pids = stage.pids()
    headers = grpc_headers("/modelserving.v1.EndpointService/ListServingEndpoints", UNKNOWN)
    async with (
        http2_connections(stage, times(10, 40)) as connections,
        honest_calls(honest, HONEST, "a flood of unknown tokens") as calls,
    ):

        async def flood(connection: Http2, count: int) -> None:
            for _ in range(count):
                while not connection.room:
                    await asyncio.sleep(0.01)
                await connection.call(headers, EMPTY_MESSAGE)
                # The honest callers are in this event loop, too: how long they wait for a turn in
                # it would say nothing of the deployment.
                await asyncio.sleep(0)

        async with asyncio.timeout(300):
            await asyncio.gather(*(flood(each, times(300, 1000)) for each in connections))
            await until(lambda: _none_alive(connections))
        await calls.wait_for(10)
        statuses = {status for each in connections for status in each.streams.statuses()}
    # Refused, or shed; nobody is told that they have gone away themselves.
    assert statuses <= {"16", "14", "8"}, statuses
    assert stage.pids() == pids


async def test_connections_that_say_nothing(stage: Stage, honest: Tenant) -> None:
    writers: list[asyncio.StreamWriter] = []
    async with honest_calls(honest, HONEST, "connections that say nothing"):

        async def idle() -> bytes:
            reader, writer = await asyncio.open_connection(stage.host, stage.port)
            writers.append(writer)
            return await reader.read()

        async with asyncio.timeout(300):
            answers = await asyncio.gather(*(idle() for _ in range(times(300, 3000))))
    # All are cut off, without a word.
    assert set(answers) == {b""}
    for writer in writers:
        writer.close()


async def test_long_lines_in_the_log(stage: Stage, honest: Tenant) -> None:
    before, count = stage.log_bytes(), times(300, 3000)
    request = (
        b"GET /"
        + b"a" * 40_000
        + b" HTTP/1.1\r\nhost: a\r\nx-request-id: "
        + b"r" * 6_000
        + b"\r\n\r\n"
    )
    async with honest_calls(honest, HONEST, "long lines in the log") as calls:
        reader, writer = await asyncio.open_connection(stage.host, stage.port)
        for _ in range(count):
            writer.write(request)
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 404")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            await reader.readexactly(length)
        writer.close()
        # Lines are written some time after the requests.
        await until(lambda: _has_grown(stage, before + 100 * count))
    assert stage.log_bytes() - before < (2_000 * (count + 2 * calls.calls))


async def _has_grown(stage: Stage, size: int) -> bool:
    return stage.log_bytes() > size
