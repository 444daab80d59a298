"""The emulator itself: AI21 Studio's chat and complete routes on the loopback interface."""

import json

from aiohttp import web

from tests.emulators.ai21labs import answers, schema
from tests.emulators.emulator import Emulator, Json
from tests.emulators.openai.parsing import parse_body

API_KEY = "ai21-emulated-0123456789"


class Ai21LabsEmulator(Emulator):
    """A strict AI21 Studio server for tests."""

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/studio/v1/chat/completions", self.route(self._chat))
        app.router.add_post("/studio/v1/{model}/complete", self.route(self._complete))

    def error_body(self, status: int) -> Json:
        return schema.refuse(f"emulated failure {status}", status).body

    def error_event(self, body: Json) -> bytes:
        return b"data: " + json.dumps(body).encode() + b"\n\n"

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await self._body(request)
        schema.check_chat(body)
        if body.get("stream"):
            return await self.send_stream(request, body["model"], answers.chat_events(body))
        return await self.send_document(request, body["model"], answers.chat_answer(body))

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body = await self._body(request)
        model = request.match_info["model"]
        schema.check_complete(model, body)
        return await self.send_document(request, model, answers.complete_answer(model, body))

    async def _body(self, request: web.Request) -> Json:
        body = await self.record(request, parse_body)
        if request.headers.get("Authorization") != f"Bearer {API_KEY}":
            raise schema.refuse("Forbidden: Bad or missing API token.", 401)
        if request.content_type != "application/json" or not isinstance(body, dict):
            raise schema.refuse_field("body", "value is not a valid dict")
        return body
