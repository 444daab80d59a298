"""The emulator itself: an HTTP server on the loopback interface that speaks the OpenAI API.

A request is recorded, authenticated, checked against `schema`, and then answered from `answers`
or `stream`, or spoiled by one of the `faults`.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Self, get_args

from aiohttp import web

from tests.emulators.openai import answers, azure, models, schema, stream
from tests.emulators.openai.errors import ApiError, Json
from tests.emulators.openai.faults import ANY_MODEL, Fault, Faults, Kind, error_body
from tests.emulators.openai.models import Model, Task
from tests.emulators.openai.parsing import parse_body

API_KEY = "sk-emulated-0123456789"
_TASKS: tuple[Task, ...] = get_args(Task)
_POLL_SECONDS = 0.01
_MAX_BODY = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request, as it arrived."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Json


class OpenAiEmulator:
    """A strict OpenAI server for tests.

    Attributes:
        requests: All requests to the API so far, in order of arrival.
        cancelled: Number of requests whose caller went away before the answer was complete.
        seen_cancelled: Set once a request was cancelled; for tests in the emulator's own loop.
        faults: Ways to misbehave, now in force.
    """

    def __init__(self, api_key: str = API_KEY, port: int = 0) -> None:
        self.api_key = api_key
        self.requests: list[Recorded] = []
        self.cancelled = 0
        self.seen_cancelled = asyncio.Event()
        self.faults = Faults()
        self.deployments: dict[str, str] = dict(azure.DEPLOYMENTS)
        self._port = port
        self._closing = asyncio.Event()
        self._resumed: SimpleQueue[None] = SimpleQueue()
        self._runner: web.AppRunner | None = None

    @property
    def origin(self) -> str:
        """Scheme, host and port; the base URL of the Azure paths."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        """Base URL in the manner of the official client; ends in `/v1`."""
        return f"{self.origin}/v1"

    def fail(
        self,
        model: str = ANY_MODEL,
        *,
        status: int = 500,
        body: Json | None = None,
        retry_after: int | None = None,
        times: int | None = None,
    ) -> None:
        """Answer requests to `model` with an error status.

        Args:
            model: Model whose requests fail.
            status: HTTP status.
            body: Body; default: an error in the API's shape.
            retry_after: Seconds for the `Retry-After` header.
            times: Number of requests that fail; None: all until `faults.clear()`.
        """
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        fallback = error_body(f"emulated failure {status}")
        self.faults.put(model, Fault("status", status, body or fallback, headers, times=times))

    def misbehave(
        self,
        kind: Kind,
        model: str = ANY_MODEL,
        *,
        after_events: int = 0,
        held: bool = False,
        times: int | None = None,
    ) -> None:
        """Let requests to `model` meet a fault other than an error status.

        Args:
            kind: What goes wrong.
            model: Model whose requests meet it.
            after_events: Number of events that a stream sends before.
            held: Wait for `resume()` between those events and the fault.
            times: Number of requests that meet it; None: all until `faults.clear()`.
        """
        body = error_body("emulated failure in mid-stream")
        self.faults.put(model, Fault(kind, 500, body, {}, after_events, held, times))

    def resume(self) -> None:
        """Let one held stream meet its fault; may be called from any thread."""
        self._resumed.put(None)

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=_MAX_BODY)
        for task in _TASKS:
            app.router.add_route("*", f"/v1/{task}", self._route(self._openai, task))
            path = f"/openai/deployments/{{deployment}}/{task}"
            app.router.add_route("*", path, self._route(self._azure, task))
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/admin/state", self._state)
        app.router.add_post("/admin/faults", self._put_fault)
        app.router.add_delete("/admin/faults", self._clear_faults)
        app.router.add_route("*", "/{path:.*}", self._unknown)
        self._runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=1
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing.set()
        if self._runner is not None:
            await self._runner.cleanup()

    def _route(
        self,
        answer: "Callable[[web.Request, Task, Json], Awaitable[web.StreamResponse]]",
        task: Task,
    ) -> "Callable[[web.Request], Awaitable[web.StreamResponse]]":
        async def route(request: web.Request) -> web.StreamResponse:
            try:
                body = await self._record(request)
                return await answer(request, task, body)
            except ApiError as error:
                return web.json_response(error.body, status=error.status, headers=error.headers)
            except (asyncio.CancelledError, ConnectionResetError):
                self.cancelled += 1
                self.seen_cancelled.set()
                raise

        return route

    async def _record(self, request: web.Request) -> Json:
        raw = await request.read()
        body = parse_body(raw)
        recorded = body if isinstance(body, dict) else {}
        self.requests.append(
            Recorded(request.method, request.path, dict(request.query), request.headers, recorded)
        )
        if request.method != "POST":
            message = f"Not allowed to {request.method} on {request.path}."
            raise ApiError(message, status=405)
        if not isinstance(body, dict):
            raise ApiError("We could not parse the JSON body of your request.")
        return body

    async def _openai(self, request: web.Request, task: Task, body: Json) -> web.StreamResponse:
        self._authenticate(request)
        if request.content_type != "application/json":
            message = f"Unsupported content type: '{request.content_type}'."
            raise ApiError(message, code="unsupported_content_type")
        schema.check_request(task, body)
        return await self._answer(request, task, body, models.find(body["model"], task))

    async def _azure(self, request: web.Request, task: Task, body: Json) -> web.StreamResponse:
        azure.check(request, self.api_key)
        name = azure.model_of(request.match_info["deployment"], self.deployments)
        # The deployment decides; a `model` in the body is accepted and ignored.
        body = body | {"model": name}
        schema.check_request(task, body)
        return await self._answer(request, task, body, models.find(name, task))

    def _authenticate(self, request: web.Request) -> None:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not key:
            message = "You didn't provide an API key in an Authorization header."
            raise ApiError(message, status=401)
        if key != self.api_key:
            message = f"Incorrect API key provided: {key[:3]}***."
            raise ApiError(message, status=401, code="invalid_api_key")

    async def _answer(
        self, request: web.Request, task: Task, body: Json, model: Model
    ) -> web.StreamResponse:
        schema.check_for_model(body, model)
        fault = self.faults.take(body["model"])
        if fault is not None and fault.kind in ("status", "stall", "drop", "garbage"):
            return await self._refuse(request, fault)
        if body.get("stream") and task != "embeddings":
            return await self._stream(request, stream.events(task, body, model), fault)
        document = json.dumps(_DOCUMENTS[task](body, model)).encode()
        if fault is not None:
            return await self._spoil_document(request, document, fault)
        return web.Response(body=document, content_type="application/json", headers=_HEADERS)

    async def _refuse(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        if fault.kind == "status":
            return web.json_response(fault.body, status=fault.status, headers=fault.headers)
        if fault.kind == "garbage":
            return web.Response(text="<html>emulated garbage</html>", content_type="text/html")
        if fault.kind == "stall":
            await self._closing.wait()
        return _cut(request)

    async def _spoil_document(
        self, request: web.Request, document: bytes, fault: Fault
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"} | _HEADERS)
        response.content_length = len(document)
        await response.prepare(request)
        if fault.kind == "trickle":
            await _trickle(response, document)
            return response
        await response.write(document[: len(document) // 2])
        if fault.kind == "stall_stream":
            await self._closing.wait()
        return _cut(request, response)

    async def _stream(
        self, request: web.Request, events: list[bytes], fault: Fault | None
    ) -> web.StreamResponse:
        headers = {"Content-Type": "text/event-stream; charset=utf-8"} | _HEADERS
        response = web.StreamResponse(headers=headers)
        response.enable_chunked_encoding()
        await response.prepare(request)
        if fault is None:
            for event in events:
                await response.write(event)
            return response
        if fault.kind == "trickle":
            await _trickle(response, b"".join(events))
            return response
        for event in events[: fault.after_events]:
            await response.write(event)
        if fault.held:
            await self._wait_for_resume()
        if fault.kind == "stall_stream":
            await self._closing.wait()
        elif fault.kind == "error_event":
            await response.write(stream.event(fault.body))
        return _cut(request, response) if fault.kind == "truncate" else response

    async def _wait_for_resume(self) -> None:
        while self._resumed.empty() and not self._closing.is_set():
            await asyncio.sleep(_POLL_SECONDS)
        with suppress(Empty):
            self._resumed.get_nowait()

    async def _models(self, request: web.Request) -> web.StreamResponse:
        try:
            self._authenticate(request)
        except ApiError as error:
            return web.json_response(error.body, status=error.status)
        listed = [
            {"id": name, "object": "model", "created": answers.CREATED, "owned_by": "openai"}
            for name in models.CATALOG
        ]
        return web.json_response({"object": "list", "data": listed})

    async def _unknown(self, request: web.Request) -> web.StreamResponse:
        message = f"Invalid URL ({request.method} {request.path})"
        return web.json_response(ApiError(message).body, status=404)

    async def _state(self, _request: web.Request) -> web.StreamResponse:
        seen = [
            {"path": item.path, "headers": dict(item.headers), "body": item.body}
            for item in self.requests
        ]
        return web.json_response({"requests": seen, "cancelled": self.cancelled})

    async def _put_fault(self, request: web.Request) -> web.StreamResponse:
        fields = await request.json()
        self.faults.put(fields.pop("model", ANY_MODEL), Fault(**fields))
        return web.json_response({})

    async def _clear_faults(self, _request: web.Request) -> web.StreamResponse:
        self.faults.clear()
        return web.json_response({})


_HEADERS = {"x-request-id": "req_emulated", "openai-processing-ms": "1"}
_DOCUMENTS: dict[Task, Callable[[Json, Model], Json]] = {
    "chat/completions": answers.chat_answer,
    "completions": answers.completion_answer,
    "embeddings": answers.embedding_answer,
}


def _cut(request: web.Request, response: web.StreamResponse | None = None) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.close()
    return response or web.Response()


async def _trickle(response: web.StreamResponse, content: bytes) -> None:
    for value in content:
        await response.write(bytes([value]))
        # Give the socket's reader the chance to see each byte alone.
        await asyncio.sleep(0)


async def serve(port: int) -> None:
    """Run an emulator until cancelled, and say where."""
    with suppress(asyncio.CancelledError):
        async with OpenAiEmulator(port=port) as emulator:
            print(emulator.url, flush=True)  # noqa: T201 - The caller reads the address.
            await asyncio.Event().wait()
