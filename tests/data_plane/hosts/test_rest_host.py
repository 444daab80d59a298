"""Queries of the REST API as the host inside Envoy takes them, event by event."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from modelplane.data_plane.errors import EndpointNotFound, LimitExceeded, refusal_of
from modelplane.data_plane.hosts.asgi_service import AsgiService
from modelplane.data_plane.hosts.departures import Lookout
from modelplane.data_plane.hosts.host import Call, Method, Reply
from modelplane.data_plane.hosts.rest_host import RestHost
from tests.adapters.rpc.asgi import Exchange

INVOCATIONS = "/serving-endpoints/chat/invocations"
BODY = b'{"messages": []}'


@dataclass
class Answering:
    """A service that answers what it is told to: whole, or in parts."""

    whole: bytes | None = None
    parts: Sequence[bytes] = ()
    error: Exception | None = None
    fails: bool = False
    pause: asyncio.Event | None = None
    calls: list[Call] = field(default_factory=list)
    cancelled: bool = False

    async def answer(self, call: Call, reply: Reply) -> None:
        self.calls.append(call)
        if self.whole is not None:
            await reply.answer("application/json", (("served-model-name", "one"),), self.whole)
        elif self.parts:
            await reply.start("text/event-stream", (("served-model-name", "one"),))
            for part in self.parts:
                await reply.send(part)
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


def host(service: Answering, *, ready: bool = True) -> RestHost:
    return RestHost(AsgiService(service, lambda: ready, Lookout(0.001)))


def exchange(path: str = INVOCATIONS, *parts: bytes, **extra: str) -> Exchange:
    given = {"content-type": "application/json", "x-request-id": "r-1"}
    given |= {name.replace("_", "-"): value for name, value in extra.items()}
    headers = [(name.encode(), value.encode()) for name, value in given.items()]
    return Exchange(path, headers, parts or (BODY,))


async def put(service: Answering, path: str = INVOCATIONS, *parts: bytes) -> Exchange:
    made = exchange(path, *parts)
    await made.run(host(service))
    return made


async def test_a_whole_answer_says_how_long_it_is() -> None:
    service = Answering(whole=b'{"a":1}')
    answer = await put(service)
    assert answer.status == 200
    assert answer.headers == {
        "content-type": "application/json",
        "served-model-name": "one",
        "content-length": "7",
    }
    assert answer.body == b'{"a":1}'
    assert len(answer.events) == 2
    [call] = service.calls
    assert (call.method, call.name, call.served_model_name) == (Method.QUERY, "chat", "")
    assert (call.body, call.request_id, call.deadline_seconds) == (BODY, "r-1", None)
    assert call.metadata.get("content-type") == "application/json"


@pytest.mark.parametrize(
    ("path", "method", "name"),
    [
        ("/serving-endpoints/a_B-1/invocations", Method.QUERY, "a_B-1"),
        ("/serving-endpoints/invocations/invocations", Method.QUERY, "invocations"),
        ("/serving-endpoints/chat/completions", Method.CREATE_CHAT_COMPLETION, ""),
        ("/serving-endpoints/completions", Method.CREATE_COMPLETION, ""),
        ("/serving-endpoints/embeddings", Method.CREATE_EMBEDDING, ""),
    ],
)
async def test_the_path_says_what_is_asked_of_whom(path: str, method: Method, name: str) -> None:
    service = Answering(whole=b"{}")
    await put(service, path)
    assert [(call.method, call.name) for call in service.calls] == [(method, name)]


async def test_a_body_may_come_in_pieces_or_be_empty() -> None:
    service = Answering(whole=b"{}")
    await put(service, INVOCATIONS, BODY[:3], b"", BODY[3:])
    await put(service, INVOCATIONS, b"")
    assert [call.body for call in service.calls] == [BODY, b""]


async def test_the_end_of_a_body_of_known_length_is_not_waited_for() -> None:
    service = Answering(whole=b"{}")
    made = Exchange(INVOCATIONS, [(b"content-length", b"%d" % len(BODY))], (BODY,), ends=False)
    async with asyncio.timeout(5):
        await made.run(host(service))
    assert made.status == 200


async def test_a_body_that_never_ends_is_refused() -> None:
    made = Exchange(INVOCATIONS, [], [b"x" * 1024 * 1024] * 17, ends=False)
    async with asyncio.timeout(5):
        await made.run(host(Answering()))
    assert made.status == 400
    assert "at most 16 MiB" in made.body.decode()


async def test_a_stream_ends_without_more() -> None:
    answer = await put(Answering(parts=(b"data: 1\n\n", b"data: [DONE]\n\n")))
    assert answer.headers == {"content-type": "text/event-stream", "served-model-name": "one"}
    assert answer.body == b"data: 1\n\ndata: [DONE]\n\n"
    assert answer.events[-1]["more_body"] is False


@pytest.mark.parametrize("bug", [False, True])
async def test_a_stream_that_breaks_off_says_why(*, bug: bool) -> None:
    error = EndpointNotFound() if bug else None
    answer = await put(Answering(parts=(b"data: 1\n\n",), fails=not bug, error=error))
    first, last = answer.body.decode().split("\n\n")[:2]
    assert first == "data: 1"
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "ENDPOINT_NOT_FOUND"
    assert answer.events[-1]["more_body"] is False


async def test_a_refusal_has_the_shape_of_all_errors() -> None:
    headers = (("x-ratelimit-limit-requests", "5"),)
    answer = await put(Answering(error=LimitExceeded("Too many.", 7, headers)))
    assert answer.status == 429
    assert json.loads(answer.body) == {
        "error_code": "REQUEST_LIMIT_EXCEEDED",
        "message": "Too many.",
    }
    assert answer.headers == {
        "content-type": "application/json",
        "content-length": str(len(answer.body)),
        "retry-after": "7",
        "x-request-id": "r-1",
        "x-ratelimit-limit-requests": "5",
    }


async def test_a_worker_that_is_not_ready_says_when_to_come_back() -> None:
    made = exchange()
    await made.run(host(Answering(), ready=False))
    assert made.status == 503
    assert made.headers["retry-after"] == "1"
    assert json.loads(made.body)["error_code"] == "TEMPORARILY_UNAVAILABLE"


async def test_a_bug_tells_the_request_id_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answer = await put(Answering(error=KeyError("the prompt")))
    assert answer.status == 500
    assert "r-1" in answer.body.decode()
    assert "prompt" not in answer.body.decode() + caplog.text


async def test_a_failure_after_the_caller_has_left_ends_quietly() -> None:
    service = Answering(parts=(b"data: 1\n\n",), error=KeyError("late"), pause=asyncio.Event())

    def send(event: dict[str, Any]) -> "asyncio.Future[None]":
        taken = asyncio.get_running_loop().create_future()
        if event.get("more_body"):
            taken.set_exception(ConnectionResetError())
            assert service.pause
            service.pause.set()
        else:
            taken.set_result(None)
        return taken

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": BODY, "more_body": False}

    await host(service)({"path": INVOCATIONS, "headers": []}, receive, send)
    assert len(service.calls) == 1


async def test_a_caller_who_leaves_cancels_the_query() -> None:
    service = Answering(parts=(b"data: 1\n\n",), pause=asyncio.Event())
    made = exchange()
    answering = asyncio.ensure_future(made.run(host(service)))
    await made.until(lambda: bool(made.body))
    made.leave()
    await answering
    assert service.cancelled


async def test_a_caller_who_leaves_before_the_request_is_there_is_forgotten() -> None:
    service = Answering()
    made = Exchange(INVOCATIONS, [], (BODY[:2],), ends=False)
    made.leave()
    await made.run(host(service))
    assert not service.calls
    assert made.events == []


async def test_a_cancelled_host_passes_it_on() -> None:
    service = Answering(parts=(b"data: 1\n\n",), pause=asyncio.Event())
    made = exchange()
    answering = asyncio.ensure_future(made.run(host(service)))
    await made.until(lambda: bool(made.body))
    answering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answering
    assert service.cancelled
