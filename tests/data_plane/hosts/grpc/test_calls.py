"""What grpcio's server says on the wire, the worker says, too, as grpcio's own client sees it.

One service runs on a grpc.aio server and behind a real Envoy at the same time; each test asks both.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import grpc
import httpx
import pytest
import pytest_asyncio
from google.api.httpbody_pb2 import HttpBody
from modelserving.v1 import inference_service_pb2 as pb

from modelplane.adapters.shared.rpc.framing import encode_message
from modelplane.adapters.shared.rpc.server import Health, new_server, running
from modelplane.data_plane.hosts.grpc.calls import GrpcCalls
from modelplane.data_plane.hosts.grpc.http_body import HTTP_BODY_RPCS
from modelplane.data_plane.hosts.http1.listener import Listener
from tests.data_plane.envoy import Bridge
from tests.data_plane.hosts.grpc_reference import rpc_handlers
from tests.data_plane.hosts.toy_service import NASTY, PART, ToyService

pytestmark = pytest.mark.asyncio(loop_scope="module")
SERVICE = "/modelserving.v1.InferenceService"
UNLIMITED = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))
CODE = grpc.StatusCode
QUERY = f"{SERVICE}/Query"
REQUEST_ID = (("x-request-id", "r-1"),)
STREAMS = 300
_TRIES = 20
# What Envoy adds, and what HTTP/1.1 needs where there is no message.
_ENVOYS = {"content-length", "date", "server", "x-envoy-upstream-service-time"}


@dataclass(frozen=True)
class Seen:
    """What a caller saw of a call, beside what Envoy adds."""

    code: grpc.StatusCode
    details: str
    initial: tuple[Any, ...]
    trailing: tuple[Any, ...]
    messages: tuple[bytes, ...]


@dataclass(frozen=True)
class Host:
    """A host of the toy service, and a channel to it."""

    target: str
    channel: grpc.aio.Channel

    def call(self, message: bytes, path: str = QUERY, **options: Any) -> Any:
        method: Any = self.channel.unary_stream(path)
        return method(message, **{"metadata": REQUEST_ID, **options})

    async def counts(self) -> dict[str, int]:
        answer = await self.call(b"", f"{SERVICE}/ListModels").read()
        counts: dict[str, int] = json.loads(HttpBody.FromString(answer).data)
        return counts

    async def until_left(self, goal: int) -> None:
        while (await self.counts())["left"] < goal:
            await asyncio.sleep(0.02)


@dataclass(frozen=True)
class Hosts:
    """Both hosts."""

    grpc: Host
    worker: Host

    async def both(self, ask: Callable[[Host], Awaitable[Any]]) -> Any:
        """Ask both hosts and return what they agree upon."""
        for _ in range(_TRIES):
            expected, told = await ask(self.grpc), await ask(self.worker)
            if not _is_lost(expected, told):
                break
        assert told == expected
        return expected


@asynccontextmanager
async def toy_server() -> AsyncIterator[Host]:
    """Run a grpc.aio server that carries calls to the toy."""
    server = new_server((), Health().servicer)
    server.add_generic_rpc_handlers(tuple(rpc_handlers(HTTP_BODY_RPCS, ToyService())))
    async with running(server, "127.0.0.1:0", 0) as port:
        target = f"127.0.0.1:{port}"
        async with grpc.aio.insecure_channel(target, options=UNLIMITED) as channel:
            yield Host(target, channel)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hosts(bridge: Bridge) -> AsyncIterator[Hosts]:
    calls = GrpcCalls(HTTP_BODY_RPCS, ToyService())
    listener = Listener(calls.carry)
    async with toy_server() as plain, listener.listening(bridge.listen, None):
        listener.take_over()
        async with grpc.aio.insecure_channel(bridge.target, options=UNLIMITED) as channel:
            yield Hosts(plain, Host(bridge.target, channel))


def _is_lost(one: Any, other: Any) -> bool:
    """Tell whether initial metadata alone is missing from one of two calls.

    grpcio's client takes it for none when it learns of it and of the end in the same moment.
    """
    if not isinstance(one, Seen) or bool(one.initial) == bool(other.initial):
        return False
    return bool(replace(one, initial=()) == replace(other, initial=()))


def query(**body: Any) -> bytes:
    payload = HttpBody(content_type="application/json", data=json.dumps(body).encode())
    return pb.QueryRequest(name="toy", payload=payload).SerializeToString()


async def see(call: Any) -> Seen:
    messages: list[bytes] = []
    # Read from the beginning on: once the status is there, the client gives up on what nobody waits
    # for.
    reading = asyncio.ensure_future(call.read())
    initial = await call.initial_metadata()
    try:
        while (message := await reading) is not grpc.aio.EOF:
            messages.append(message)
            reading = asyncio.ensure_future(call.read())
    except grpc.aio.AioRpcError:
        pass
    trailing = await call.trailing_metadata()
    details = await call.details() or ""
    return Seen(await call.code(), details, _own(initial), _own(trailing), tuple(messages))


def _own(metadata: Any) -> tuple[Any, ...]:
    return tuple(pair for pair in metadata or () if pair[0] not in _ENVOYS)


@pytest.mark.parametrize(
    ("message", "code", "details", "count"),
    [
        pytest.param(query(mode="echo"), CODE.OK, "", 1, id="answer"),
        pytest.param(query(mode="stream", parts=40), CODE.OK, "", 40, id="stream"),
        pytest.param(query(mode="nothing"), CODE.OK, "", 0, id="empty-stream"),
        pytest.param(query(mode="refuse"), CODE.RESOURCE_EXHAUSTED, NASTY, 0, id="refusal"),
        pytest.param(query(mode="refuse-late"), CODE.RESOURCE_EXHAUSTED, NASTY, 1, id="late"),
        pytest.param(query(), CODE.INTERNAL, "request r-1", 0, id="bug"),
        pytest.param(b"\xff\xff", CODE.INTERNAL, "no such message", 0, id="undecodable"),
    ],
)
async def test_a_call_ends_alike(
    hosts: Hosts, message: bytes, code: grpc.StatusCode, details: str, count: int
) -> None:
    seen = await hosts.both(lambda host: see(host.call(message)))
    assert (seen.code, len(seen.messages)) == (code, count)
    assert details in seen.details
    if message != b"\xff\xff":
        assert ("x-request-id", "r-1") in seen.initial + seen.trailing


async def test_status_and_metadata_of_a_refusal_are_whole(hosts: Hosts) -> None:
    seen = await hosts.both(lambda host: see(host.call(query(mode="refuse"))))
    assert seen.details == NASTY
    assert dict(seen.trailing) == {
        "x-modelplane-error-code": "REQUEST_LIMIT_EXCEEDED",
        "x-modelplane-http-status": "429",
        "retry-after": "3",
        "x-request-id": "r-1",
    }


@pytest.mark.parametrize(
    ("path", "message", "code"),
    [
        pytest.param(f"{SERVICE}/Nothing", b"", CODE.UNIMPLEMENTED, id="method"),
        pytest.param("/no.such.Service/Query", b"", CODE.UNIMPLEMENTED, id="service"),
        pytest.param(QUERY, bytes(17 * 1024 * 1024 + 1), CODE.RESOURCE_EXHAUSTED, id="long"),
    ],
)
async def test_what_reaches_no_service_has_the_same_status(
    hosts: Hosts, path: str, message: bytes, code: grpc.StatusCode
) -> None:
    async def ask(host: Host) -> tuple[object, ...]:
        seen = await see(host.call(message, path))
        # The words are grpcio's on its server.
        assert seen.details
        return seen.code, seen.initial, seen.trailing, seen.messages

    assert await hosts.both(ask) == (code, (), (), ())


async def test_a_call_without_a_message_is_refused(hosts: Hosts) -> None:
    async def ask(host: Host) -> Seen:
        method: Any = host.channel.stream_stream(QUERY)
        return await see(method(iter(()), timeout=20))

    seen = await hosts.both(ask)
    assert seen.code is CODE.UNIMPLEMENTED
    assert seen.details == "A request has one message, not 0."


async def test_the_longest_message_is_taken(hosts: Hosts) -> None:
    padding = "x" * (16 * 1024 * 1024)
    seen = await hosts.both(lambda host: see(host.call(query(mode="echo", padding=padding))))
    assert seen.code is CODE.OK


async def test_the_deadline_reaches_the_service(hosts: Hosts) -> None:
    for host in (hosts.grpc, hosts.worker):
        [answer] = (await see(host.call(query(mode="echo"), timeout=20))).messages
        # grpcio rounds up.
        assert 0 < json.loads(HttpBody.FromString(answer).data)["deadline"] <= 21


async def test_a_deadline_exceeded_ends_the_call_on_both_sides(hosts: Hosts) -> None:
    async def ask(host: Host) -> grpc.StatusCode:
        before = await host.counts()
        # A busy machine may take longer than the first one until the service is reached.
        for seconds in (1.0, 10.0, 50.0):
            seen = await see(host.call(query(mode="hang"), timeout=seconds))
            if (await host.counts())["started"] > before["started"]:
                break
        await host.until_left(before["left"] + 1)
        return seen.code

    assert await hosts.both(ask) is CODE.DEADLINE_EXCEEDED


async def test_streams_beside_each_other_are_whole_and_each_can_be_cancelled(hosts: Hosts) -> None:
    async def ask(host: Host) -> set[tuple[grpc.StatusCode, bool]]:
        before = await host.counts()
        calls = [host.call(query(mode="hang", parts=number % 5)) for number in range(STREAMS)]
        # All are open at once: none ends by itself.
        heard = await asyncio.gather(*(_hear(call, n % 5) for n, call in enumerate(calls)))
        assert (await host.counts())["started"] == before["started"] + STREAMS
        for call in calls:
            call.cancel()
        await host.until_left(before["left"] + STREAMS)
        return {(await call.code(), whole) for call, whole in zip(calls, heard, strict=True)}

    assert await hosts.both(ask) == {(CODE.CANCELLED, True)}


async def _hear(call: Any, parts: int) -> bool:
    """Tell whether a hanging call sent its parts, and what comes after them."""
    heard = [HttpBody.FromString(await call.read()).data for _ in range(parts + 1)]
    return heard == [*([b"data: %b\n\n" % PART] * parts), b"data: {}\n\n"]


@pytest.mark.parametrize("given", ["", "two words", "x" * 129])
async def test_an_unfit_request_id_is_replaced(hosts: Hosts, given: str) -> None:
    for host in (hosts.grpc, hosts.worker):
        metadata = (("x-request-id", given),) if given else ()
        seen = await see(host.call(query(mode="echo"), metadata=metadata))
        told = dict(seen.initial)["x-request-id"]
        assert re.fullmatch(r"[0-9a-f-]{36}", told)


@pytest.mark.parametrize("content_type", ["application/grpc", "application/grpc+proto"])
async def test_both_content_types_of_grpc_are_taken(hosts: Hosts, content_type: str) -> None:
    async def ask(host: Host) -> tuple[object, ...]:
        answer = await post(host, content_type)
        return answer.status_code, answer.headers["content-type"], answer.content

    status, answered, content = await hosts.both(ask)
    assert (status, answered) == (200, "application/grpc")
    assert b'"deadline":null' in content


async def post(host: Host, content_type: str) -> httpx.Response:
    headers = {"te": "trailers", "content-type": content_type}
    async with httpx.AsyncClient(http1=False, http2=True, trust_env=False) as client:
        message = encode_message(query(mode="echo"))
        return await client.post(f"http://{host.target}{QUERY}", headers=headers, content=message)


async def test_compressed_requests_are_read(hosts: Hosts) -> None:
    for compression in (grpc.Compression.Gzip, grpc.Compression.Deflate):

        async def ask(host: Host, how: grpc.Compression = compression) -> Seen:
            request = query(mode="echo", padding="x" * 1000)
            return await see(host.call(request, compression=how))

        assert (await hosts.both(ask)).code is CODE.OK
