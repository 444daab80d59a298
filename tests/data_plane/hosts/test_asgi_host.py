"""The gRPC protocol as the host inside Envoy speaks it, event by event."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from modelplane.adapters.rpc.framing import MessageReader, encode_message
from modelplane.data_plane.errors import EndpointNotFound
from modelplane.data_plane.hosts.asgi_host import AsgiHost
from modelplane.data_plane.hosts.asgi_service import AsgiService
from modelplane.data_plane.hosts.departures import Lookout
from modelplane.data_plane.hosts.host import Call, Method, Reply
from modelplane.data_plane.hosts.http_body import HTTP_BODY_RPCS, SERVICE_NAME
from tests.adapters.rpc.asgi import Exchange, headers

PATH = f"/{SERVICE_NAME}/ListModels"
BODY = encode_message(b"")


@dataclass
class Echo:
    """A service that answers what it is told to."""

    parts: Sequence[bytes] = (b"{}",)
    error: Exception | None = None
    calls: list[Call] = field(default_factory=list)
    pause: asyncio.Event | None = None
    cancelled: bool = False

    async def answer(self, call: Call, reply: Reply) -> None:
        self.calls.append(call)
        if self.error and not self.parts:
            raise self.error
        await reply.start("application/json", (("served-model-name", "one"),))
        for part in self.parts:
            await reply.send(part)
        try:
            if self.pause:
                await self.pause.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if self.error:
            raise self.error


@pytest.fixture
def echo() -> Echo:
    return Echo()


def host(echo: Echo) -> AsgiHost:
    return AsgiHost(
        HTTP_BODY_RPCS, AsgiService(echo, lambda: True, Lookout(0.001)), max_message_bytes=1000
    )


async def put(echo: Echo, path: str = PATH, *parts: bytes, **extra: str) -> Exchange:
    exchange = Exchange(path, headers(**extra), parts or (BODY,))
    await exchange.run(host(echo))
    return exchange


async def test_an_answer_has_metadata_messages_and_a_status(echo: Echo) -> None:
    echo.parts = (b'{"a":', b"1}")
    answer = await put(echo, x_request_id="r-1", grpc_timeout="250m", authorization="Bearer t")
    assert answer.status == 200
    assert answer.headers == {"content-type": "application/grpc", "served-model-name": "one"}
    assert len(MessageReader(1000).feed(answer.body)) == 2
    assert answer.trailers == {"grpc-status": "0"}
    [call] = echo.calls
    assert call.method is Method.LIST_MODELS
    assert (call.request_id, call.deadline_seconds) == ("r-1", 0.25)
    assert call.metadata.get("authorization") == "Bearer t"
    assert call.metadata.get("missing") is None
    assert "x-request-id" in call.metadata
    assert len(call.metadata) == len(list(call.metadata))


async def test_a_request_may_come_in_pieces(echo: Echo) -> None:
    answer = await put(echo, PATH, BODY[:2], BODY[2:], b"")
    assert answer.trailers == {"grpc-status": "0"}


async def test_a_refusal_before_the_answer_is_of_headers_only(echo: Echo) -> None:
    echo.parts, echo.error = (), EndpointNotFound()
    answer = await put(echo, x_request_id="r-1")
    assert answer.headers["grpc-status"] == "5"
    assert answer.headers["grpc-message"].startswith("The given endpoint does not exist, please")
    assert answer.headers["x-modelplane-error-code"] == "ENDPOINT_NOT_FOUND"
    assert answer.headers["x-modelplane-http-status"] == "404"
    assert answer.headers["x-request-id"] == "r-1"
    assert (answer.body, answer.trailers) == (b"", {})


async def test_a_refusal_within_an_answer_is_in_the_trailers(echo: Echo) -> None:
    echo.error = EndpointNotFound()
    answer = await put(echo)
    assert "grpc-status" not in answer.headers
    assert answer.trailers["grpc-status"] == "5"


async def test_a_worker_that_is_not_ready_says_so(echo: Echo) -> None:
    exchange = Exchange(PATH, headers(), (BODY,))
    await exchange.run(AsgiHost(HTTP_BODY_RPCS, AsgiService(echo, lambda: False, Lookout())))
    assert exchange.headers["grpc-status"] == "14"
    assert exchange.headers["x-modelplane-http-status"] == "503"
    assert not echo.calls


async def test_a_bug_tells_the_request_id_and_nothing_else(
    echo: Echo, caplog: pytest.LogCaptureFixture
) -> None:
    echo.parts, echo.error = (), KeyError("the prompt")
    answer = await put(echo, x_request_id="r-9")
    assert answer.headers["grpc-status"] == "13"
    assert "r-9" in answer.headers["grpc-message"]
    assert "prompt" not in str(answer.headers) + caplog.text


@pytest.mark.parametrize(
    ("path", "extra", "parts", "status", "text"),
    [
        ("/nowhere/None", {}, (BODY,), "12", "no method /nowhere/None"),
        (PATH, {"grpc_encoding": "br"}, (BODY,), "12", "'br' is not supported"),
        (PATH, {}, (b"\1" + BODY[1:],), "13", "compressed"),
        (PATH, {}, (BODY + BODY,), "12", "one message, not 2"),
        (PATH, {}, (b"",), "12", "one message, not 0"),
        (PATH, {}, (BODY[:3],), "13", "within a message"),
        (PATH, {}, (encode_message(b"x" * 1001),), "8", "longer than 1000"),
        (f"/{SERVICE_NAME}/Query", {}, (encode_message(b"\xff\xff"),), "13", "no such message"),
    ],
)
async def test_what_is_no_call_gets_a_status(
    echo: Echo, path: str, extra: dict[str, str], parts: tuple[bytes, ...], status: str, text: str
) -> None:
    answer = await put(echo, path, *parts, **extra)
    assert not echo.calls
    assert answer.headers["grpc-status"] == status
    assert text in answer.headers["grpc-message"]


async def test_what_is_no_grpc_is_refused(echo: Echo) -> None:
    answer = await put(echo, content_type="application/json")
    assert (answer.status, answer.body) == (415, b"")
    assert not echo.calls


async def test_a_caller_who_leaves_cancels_the_answer(echo: Echo) -> None:
    echo.pause = asyncio.Event()
    exchange = Exchange(PATH, headers(), (BODY,))
    answering = asyncio.ensure_future(exchange.run(host(echo)))
    await exchange.until(lambda: bool(exchange.body))
    exchange.leave()
    await answering
    assert echo.cancelled
    assert exchange.trailers == {}


async def test_sending_to_a_caller_who_left_ends_the_call(
    echo: Echo, caplog: pytest.LogCaptureFixture
) -> None:
    sent = []

    async def send(event: dict[str, Any]) -> None:
        if event["type"] == "http.response.body":
            raise ConnectionError
        sent.append(event["type"])

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": BODY, "more_body": False}

    await host(echo)({"path": PATH, "headers": headers()}, receive, send)
    assert sent == ["http.response.start"]
    assert not caplog.records


async def test_a_caller_who_leaves_before_the_request_is_there_is_forgotten(echo: Echo) -> None:
    exchange = Exchange(PATH, headers(), (BODY[:2],), ends=False)
    exchange.leave()
    await exchange.run(host(echo))
    assert not echo.calls
    assert exchange.events == []


async def test_a_cancelled_host_passes_it_on(echo: Echo) -> None:
    echo.pause = asyncio.Event()
    exchange = Exchange(PATH, headers(), (BODY,))
    answering = asyncio.ensure_future(exchange.run(host(echo)))
    await exchange.until(lambda: bool(exchange.body))
    answering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answering
    assert echo.cancelled


async def test_the_outlet_waits_for_the_transport(echo: Echo) -> None:
    echo.parts = (b"one", b"two")
    exchange = Exchange(PATH, headers(), (BODY,))
    exchange.room.clear()
    answering: asyncio.Future[Any] = asyncio.ensure_future(exchange.run(host(echo)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(exchange.events) <= 1
    exchange.room.set()
    await answering
    assert len(MessageReader(1000).feed(exchange.body)) == 2


async def test_a_body_without_end_is_not_kept(echo: Echo) -> None:
    exchange = Exchange(PATH, headers(), (BODY, b"", BODY), ends=False)
    async with asyncio.timeout(5):
        await exchange.run(host(echo))
    assert exchange.headers["grpc-status"] == "12"
    assert not echo.calls
