"""The emulator itself: Cohere's chat, generate and embed routes on the loopback interface."""

import json
from collections.abc import Callable

from aiohttp import web

from tests.emulators.cohere import answers, schema
from tests.emulators.emulator import Emulator, Json
from tests.emulators.openai.parsing import parse_body

API_KEY = "co-emulated-0123456789"


class CohereEmulator(Emulator):
    """A strict Cohere server for tests.

    Attributes:
        counts_streams: Whether a streamed completion says how many tokens it has.
    """

    def __init__(self, *, counts_streams: bool = False) -> None:
        super().__init__()
        self.counts_streams = counts_streams

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/v2/chat", self.route(self._chat))
        app.router.add_post("/v1/generate", self.route(self._generate))
        app.router.add_post("/v2/embed", self.route(self._embed))

    def error_body(self, status: int) -> Json:
        return schema.refuse(f"emulated failure {status}", status).body

    def error_event(self, body: Json) -> bytes:
        # One line that both of Cohere's framings read.
        if self.stream_type.startswith("text/event-stream"):
            return b"data: " + json.dumps(body).encode() + b"\n\n"
        failed = {"event_type": "stream-error", "is_finished": True, "finish_reason": "ERROR"}
        return json.dumps(failed | {"err": body["message"]}).encode() + b"\n"

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await self._body(request, schema.check_chat)
        self.stream_type = "text/event-stream; charset=utf-8"
        if body.get("stream"):
            return await self.send_stream(request, body["model"], answers.chat_events(body))
        return await self.send_document(request, body["model"], answers.chat_answer(body))

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        body = await self._body(request, schema.check_generate)
        model = body.get("model", "command")
        self.stream_type = "application/stream+json"
        if body.get("stream"):
            lines = answers.generate_lines(body, counted=self.counts_streams)
            return await self.send_stream(request, model, lines)
        return await self.send_document(request, model, answers.generate_answer(body))

    async def _embed(self, request: web.Request) -> web.StreamResponse:
        body = await self._body(request, schema.check_embed)
        return await self.send_document(request, body["model"], answers.embed_answer(body))

    async def _body(self, request: web.Request, check: Callable[[Json], None]) -> Json:
        body = await self.record(request, parse_body)
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not key:
            raise schema.refuse("no api key supplied", 401)
        if key != API_KEY:
            raise schema.refuse("invalid api token", 401)
        if request.content_type != "application/json" or not isinstance(body, dict):
            raise schema.refuse("invalid request: the body must be a JSON object.")
        check(body)
        return body
