"""The emulator itself: an HTTP server on the loopback interface that speaks the Anthropic API.

A request is recorded, authenticated, checked against `schema`, and then answered from `answers`
or `stream`, or spoiled by a fault.
"""

from collections.abc import Mapping

from aiohttp import web

from tests.emulators.anthropic import answers, models, schema, stream
from tests.emulators.anthropic.errors import REQUEST_ID, error_body, refusal
from tests.emulators.emulator import Emulator, Json
from tests.emulators.openai.parsing import parse_body

API_KEY = "sk-ant-emulated-0123456789"
# From the second on, sampling parameters are refused.
_VERSIONS = ("2023-06-01", "2026-10-21")


class AnthropicEmulator(Emulator):
    """A strict Anthropic server for tests."""

    answer_headers: Mapping[str, str] = {"request-id": REQUEST_ID}

    def __init__(self, api_key: str = API_KEY, port: int = 0) -> None:
        super().__init__(port)
        self.api_key = api_key

    def add_routes(self, app: web.Application) -> None:
        """Add the API's routes."""
        app.router.add_route("*", "/v1/messages", self.route(self._messages))
        app.router.add_route("*", "/v1/messages/count_tokens", self.route(self._count))
        app.router.add_route("*", "/v1/complete", self.route(self._complete))
        app.router.add_route("*", "/{path:.*}", self.route(self._unknown))

    def error_body(self, status: int) -> Json:
        """Return an error of the API."""
        return error_body(status, f"emulated failure {status}")

    def error_event(self, body: Json) -> bytes:
        """Return an error inside a stream."""
        return stream.event(body, "error")

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        body = await self._read(request)
        sampling = request.headers["anthropic-version"] == _VERSIONS[0]
        schema.check_messages_body(body, sampling=sampling)
        schema.check_for_model(body, models.find(body["model"], legacy=False))
        message = answers.message(body)
        if body.get("stream"):
            return await self.send_stream(request, body["model"], stream.message_events(message))
        return await self.send_document(request, body["model"], message)

    async def _count(self, request: web.Request) -> web.StreamResponse:
        body = await self._read(request)
        models.find(body["model"], legacy=False)
        whole = schema.check_count_body(body)
        return await self.send_document(
            request, body["model"], {"input_tokens": answers.count(whole)}
        )

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body = await self._read(request)
        schema.check_complete_body(body)
        models.find(body["model"], legacy=True)
        completion = answers.completion(body)
        if body.get("stream"):
            events = stream.completion_events(completion)
            return await self.send_stream(request, body["model"], events)
        return await self.send_document(request, body["model"], completion)

    async def _read(self, request: web.Request) -> Json:
        body = await self.record(request, parse_body)
        if request.method != "POST":
            raise refusal("Method Not Allowed", 405)
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        # The API takes the key in either header, and prefers this one.
        key = request.headers.get("x-api-key", bearer)
        if key != self.api_key:
            raise refusal("x-api-key header is required" if not key else "invalid x-api-key", 401)
        if request.headers.get("anthropic-version") not in _VERSIONS:
            raise refusal("anthropic-version: header is required")
        if request.content_type != "application/json" or not isinstance(body, dict):
            raise refusal("The request body is not valid JSON")
        return body

    async def _unknown(self, _request: web.Request) -> web.StreamResponse:
        raise refusal("Not found", 404)
