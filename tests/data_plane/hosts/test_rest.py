"""Queries of the REST API as they come over a socket."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from modelplane.adapters.providers.types import Task
from modelplane.data_plane.calls.call import Call, Method, Reply
from modelplane.data_plane.errors import EndpointNotFound, LimitExceeded, refusal_of
from modelplane.data_plane.hosts.grpc.calls import GrpcCalls
from modelplane.data_plane.hosts.grpc.http_body import HTTP_BODY_RPCS
from modelplane.data_plane.hosts.native import NativeCalls
from modelplane.data_plane.hosts.rest import RestCalls
from modelplane.data_plane.hosts.routes import Routes
from tests.data_plane.hosts.raw_http import Answer, listening

INVOCATIONS = "/serving-endpoints/chat/invocations"
BODY = b'{"messages": []}'


@dataclass
class Answering:
    """A service that answers what it is told to: whole, or in parts."""

    whole: bytes | None = None
    parts: Sequence[bytes] = ()
    last: bytes | None = None
    error: Exception | None = None
    fails: bool = False
    pause: asyncio.Event | None = None
    calls: list[Call] = field(default_factory=list)
    cancelled: bool = False

    async def answer(self, call: Call, reply: Reply) -> None:
        self.calls.append(call)
        await receive(call)
        if self.whole is not None:
            await reply.answer((("served-model-name", "one"),), self.whole)
        elif self.parts:
            await reply.start((("served-model-name", "one"),))
            for part in self.parts:
                await reply.send((part,), ended=part == self.last)
        try:
            if self.pause:
                await self.pause.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if self.fails:
            await reply.fail(refusal_of(EndpointNotFound(), "r-1"))
        if self.error:
            raise self.error


async def receive(call: Call) -> None:
    """Wait for what is not there yet."""
    if call.receive is not None:
        await call.receive(call)


def routes(service: Answering, obstacle: str = "") -> Routes:
    native = NativeCalls(service, lambda: 0.0)
    return Routes(
        RestCalls(service, native.speak_responses),
        native,
        GrpcCalls(HTTP_BODY_RPCS, service),
        lambda: obstacle,
    )


async def put(
    service: Answering, directory: Path, path: str = INVOCATIONS, body: bytes = BODY
) -> Answer:
    async with listening(routes(service), directory) as server, server.connected() as client:
        client.post(path, body, content_type="application/json", x_request_id="r-1")
        return await client.answer()


async def test_a_whole_answer_says_how_long_it_is(tmp_path: Path) -> None:
    service = Answering(whole=b'{"a":1}')
    answer = await put(service, tmp_path)
    assert answer.status == 200
    assert answer.headers == {
        "content-type": "application/json",
        "served-model-name": "one",
        "content-length": "7",
    }
    assert answer.body == b'{"a":1}'
    [call] = service.calls
    assert (call.method, call.name, call.served_model_name) == (Method.QUERY, "chat", "")
    assert (call.body, call.request_id, call.deadline_seconds) == (BODY, "r-1", None)
    assert call.metadata.get("content-type") == "application/json"


@pytest.mark.parametrize(
    ("path", "task", "name"),
    [
        ("/serving-endpoints/a_B-1/invocations", "", "a_B-1"),
        ("/serving-endpoints/a/invocations?x=/b/invocations", "", "a"),
        ("/serving-endpoints/invocations/invocations", "", "invocations"),
        ("/serving-endpoints/chat/completions", Task.CHAT, ""),
        ("/serving-endpoints/completions", Task.COMPLETIONS, ""),
        ("/serving-endpoints/embeddings", Task.EMBEDDINGS, ""),
    ],
)
async def test_the_path_says_what_is_asked_of_whom(
    tmp_path: Path, path: str, task: str, name: str
) -> None:
    service = Answering(whole=b"{}")
    await put(service, tmp_path, path)
    assert [(call.task, call.name) for call in service.calls] == [(task, name)]


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/serving-endpoints//invocations",
        "/serving-endpoints/a/b/invocations",
        "/x/invocations",
    ],
)
async def test_other_paths_are_no_routes(tmp_path: Path, path: str) -> None:
    service = Answering(whole=b"{}")
    assert (await put(service, tmp_path, path)).status == 404
    assert service.calls == []


async def test_only_post_asks_for_answers(tmp_path: Path) -> None:
    service = Answering(whole=b"{}")
    async with (
        listening(routes(service), tmp_path) as server,
        server.connected() as client,
    ):
        client.send(f"GET {INVOCATIONS} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        assert (await client.answer()).status == 405
    assert service.calls == []


async def test_who_calls_is_known_before_the_body_is_there(tmp_path: Path) -> None:
    service = Answering(whole=b"{}")
    async with (
        listening(routes(service), tmp_path) as server,
        server.connected() as client,
    ):
        client.post(INVOCATIONS, BODY[:3], content_length=str(len(BODY)))
        while not service.calls:
            await asyncio.sleep(0.01)
        assert service.calls[0].body == b""
        client.send(BODY[3:])
        assert (await client.answer()).status == 200
    assert service.calls[0].body == BODY


async def test_a_body_that_is_too_long_is_refused_and_read_no_further(tmp_path: Path) -> None:
    service = Answering()
    async with (
        listening(routes(service), tmp_path) as server,
        server.connected() as client,
    ):
        client.post(INVOCATIONS, bytes(17 << 20), content_length=str(1 << 40))
        answer = await client.answer()
    assert answer.status == 400
    assert "at most 16 MiB" in answer.body.decode()


async def test_the_longest_body_is_taken(tmp_path: Path) -> None:
    service = Answering(whole=b"{}")
    assert (await put(service, tmp_path, body=bytes(16 << 20))).status == 200
    assert len(service.calls[0].body) == 16 << 20


async def test_a_stream_is_sent_part_by_part(tmp_path: Path) -> None:
    answer = await put(Answering(parts=(b"1", b"2"), last=b"2"), tmp_path)
    assert answer.headers == {
        "content-type": "text/event-stream; charset=utf-8",
        "served-model-name": "one",
        "transfer-encoding": "chunked",
    }
    assert answer.body == b"data: 1\n\ndata: 2\n\ndata: [DONE]\n\n"


@pytest.mark.parametrize("bug", [False, True])
async def test_a_stream_that_breaks_off_says_why(tmp_path: Path, *, bug: bool) -> None:
    error = EndpointNotFound() if bug else None
    answer = await put(Answering(parts=(b"1",), fails=not bug, error=error), tmp_path)
    first, last = answer.body.decode().split("\n\n")[:2]
    assert first == "data: 1"
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "ENDPOINT_NOT_FOUND"


async def test_a_refusal_has_the_shape_of_all_errors(tmp_path: Path) -> None:
    headers = (("x-ratelimit-limit-requests", "5"),)
    answer = await put(Answering(error=LimitExceeded("Too many.", 7, headers)), tmp_path)
    assert answer.status == 429
    assert json.loads(answer.body) == {
        "error_code": "REQUEST_LIMIT_EXCEEDED",
        "message": "Too many.",
        "error": {
            "message": "Too many.",
            "type": "rate_limit_error",
            "code": "REQUEST_LIMIT_EXCEEDED",
            "param": None,
        },
    }
    assert answer.headers == {
        "content-type": "application/json",
        "content-length": str(len(answer.body)),
        "retry-after": "7",
        "x-request-id": "r-1",
        "x-ratelimit-limit-requests": "5",
    }


async def test_databricks_sdks_get_no_member_that_they_take_for_the_message(
    tmp_path: Path,
) -> None:
    service = Answering(error=EndpointNotFound())
    async with listening(routes(service), tmp_path) as server, server.connected() as client:
        client.post(INVOCATIONS, BODY, user_agent="databricks-sdk-go/0.1 os/linux")
        answer = await client.answer()
    assert set(json.loads(answer.body)) == {"error_code", "message"}


async def test_a_bug_tells_the_request_id_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await put(Answering(error=KeyError("the prompt")), tmp_path)
    assert answer.status == 500
    assert "r-1" in answer.body.decode()
    assert "prompt" not in answer.body.decode() + caplog.text


@pytest.mark.parametrize("parts", [(), (b"1",)])
async def test_a_caller_who_leaves_cancels_the_query(
    tmp_path: Path, parts: tuple[bytes, ...]
) -> None:
    service = Answering(parts=parts, pause=asyncio.Event())
    async with (
        listening(routes(service), tmp_path) as server,
        server.connected() as client,
    ):
        client.post(INVOCATIONS, BODY)
        while not service.calls:
            await asyncio.sleep(0.01)
        client.leave()
        async with asyncio.timeout(120):
            while not service.cancelled:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("obstacle", ["", "draining"])
async def test_health_tells_whether_to_send_traffic(
    tmp_path: Path, method: str, obstacle: str
) -> None:
    async with (
        listening(routes(Answering(), obstacle), tmp_path) as server,
        server.connected() as client,
    ):
        client.send(f"{method} /health?x HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        answer = await client.answer(to_head=method == "HEAD")
        assert answer.status == (503 if obstacle else 200)
        assert answer.headers.get("retry-after") == ("1" if obstacle else None)
        if method == "GET":
            assert ("draining" in answer.body.decode()) is bool(obstacle)
        # The connection goes on.
        client.post("/nothing")
        assert (await client.answer()).status == 404
