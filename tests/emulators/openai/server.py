"""The emulator itself: an HTTP server on the loopback interface that speaks the OpenAI API.

A request is recorded, authenticated, checked against `schema`, and then answered from `answers`
or `stream`, or spoiled by a fault.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import get_args

from aiohttp import web

from tests.emulators.emulator import Emulator
from tests.emulators.faults import ANY_MODEL, Fault
from tests.emulators.openai import answers, azure, models, responses, schema, stream
from tests.emulators.openai.entra import Entra
from tests.emulators.openai.errors import ApiError, Json
from tests.emulators.openai.faults import error_body
from tests.emulators.openai.models import Model, Task
from tests.emulators.openai.parsing import parse_body

API_KEY = "sk-emulated-0123456789"
_TASKS: tuple[Task, ...] = get_args(Task)
_Answer = Callable[[web.Request, Task, Json], Awaitable[web.StreamResponse]]


class OpenAiEmulator(Emulator):
    """A strict OpenAI server for tests.

    Attributes:
        knows_stream_options: Whether it takes `stream_options`; older and compatible ones do not.
    """

    answer_headers: Mapping[str, str] = {
        "x-request-id": "req_emulated",
        "openai-processing-ms": "1",
    }

    def __init__(self, api_key: str = API_KEY, port: int = 0) -> None:
        super().__init__(port)
        self.api_key = api_key
        self.knows_stream_options = True
        self.deployments: dict[str, str] = dict(azure.DEPLOYMENTS)
        self.entra = Entra()

    @property
    def url(self) -> str:
        """Base URL in the manner of the official client; ends in `/v1`."""
        return f"{self.origin}/v1"

    def add_routes(self, app: web.Application) -> None:
        """Add the API's routes."""
        for task in _TASKS:
            app.router.add_route("*", f"/v1/{task}", self._task_route(self._openai, task))
            path = f"/openai/deployments/{{deployment}}/{task}"
            app.router.add_route("*", path, self._task_route(self._azure, task))
        app.router.add_route("*", "/v1/responses", self.route(self._responses))
        app.router.add_route("*", "/openai/v1/responses", self.route(self._azure_responses))
        app.router.add_get("/v1/models", self.route(self._models))
        app.router.add_post("/{tenant}/oauth2/v2.0/token", self.route(self._token))
        app.router.add_get("/admin/state", self._state)
        app.router.add_post("/admin/faults", self._put_fault)
        app.router.add_delete("/admin/faults", self._clear_faults)
        app.router.add_route("*", "/{path:.*}", self.route(self._unknown))

    def error_body(self, status: int) -> Json:
        """Return an error of the API."""
        return error_body(f"emulated failure {status}")

    def error_event(self, body: Json) -> bytes:
        """Return an error inside a stream."""
        return stream.event(body)

    def _task_route(
        self, answer: _Answer, task: Task
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def read_and_answer(request: web.Request) -> web.StreamResponse:
            return await answer(request, task, await self._read(request))

        return self.route(read_and_answer)

    async def _read(self, request: web.Request) -> Json:
        body = await self.record(request, parse_body)
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
        azure.check(request, self.api_key, self.entra.valid)
        name = azure.model_of(request.match_info["deployment"], self.deployments)
        # The deployment decides; a `model` in the body is accepted and ignored.
        body = body | {"model": name}
        schema.check_request(task, body)
        return await self._answer(request, task, body, models.find(name, task))

    async def _responses(self, request: web.Request) -> web.StreamResponse:
        body = await self._read(request)
        self._authenticate(request)
        models.find(body.get("model", ""), "chat/completions")
        return await self._respond(request, body)

    async def _azure_responses(self, request: web.Request) -> web.StreamResponse:
        body = await self._read(request)
        azure.check_credential(request, self.api_key, self.entra.valid)
        azure.model_of(str(body.get("model")), self.deployments)
        return await self._respond(request, body)

    async def _respond(self, request: web.Request, body: Json) -> web.StreamResponse:
        responses.check(body)
        if body.get("stream"):
            return await self.send_stream(request, body["model"], responses.events(body))
        return await self.send_document(request, body["model"], responses.response(body))

    async def _token(self, request: web.Request) -> web.StreamResponse:
        given = self.entra.give(request.match_info["tenant"], dict(await request.post()))
        return web.json_response(given)

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
        if "stream_options" in body and not self.knows_stream_options:
            raise ApiError("Unrecognized request argument supplied: stream_options")
        schema.check_for_model(body, model)
        if body.get("stream") and task != "embeddings":
            return await self.send_stream(request, body["model"], stream.events(task, body, model))
        return await self.send_document(request, body["model"], _DOCUMENTS[task](body, model))

    async def _models(self, request: web.Request) -> web.StreamResponse:
        self._authenticate(request)
        listed = [
            {"id": name, "object": "model", "created": answers.CREATED, "owned_by": "openai"}
            for name in models.CATALOG
        ]
        return web.json_response({"object": "list", "data": listed})

    async def _unknown(self, request: web.Request) -> web.StreamResponse:
        message = f"Invalid URL ({request.method} {request.path})"
        raise ApiError(message, status=404)

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


_DOCUMENTS: dict[Task, Callable[[Json, Model], Json]] = {
    "chat/completions": answers.chat_answer,
    "completions": answers.completion_answer,
    "embeddings": answers.embedding_answer,
}


async def serve(port: int) -> None:
    """Run an emulator until cancelled, and say where."""
    with suppress(asyncio.CancelledError):
        async with OpenAiEmulator(port=port) as emulator:
            print(emulator.url, flush=True)  # noqa: T201 - The caller reads the address.
            await asyncio.Event().wait()
