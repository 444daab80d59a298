"""The emulator itself: an HTTP server on the loopback interface that speaks Vertex AI's API.

A request is recorded, authenticated, checked by the schema of its family, and then answered, or
spoiled by a fault. The token endpoint is on the same port.
"""

import json
import re
import time
from collections.abc import Callable, Mapping

from aiohttp import web

from tests.emulators.anthropic import stream as claude_stream
from tests.emulators.emulator import Emulator, Json
from tests.emulators.google_cloud_vertex_ai import (
    claude,
    embed_content,
    gemini_answers,
    gemini_schema,
    predict,
)
from tests.emulators.google_cloud_vertex_ai.errors import GoogleError, TokenError, error_body
from tests.emulators.google_cloud_vertex_ai.keys import PROJECT
from tests.emulators.google_cloud_vertex_ai.tokens import Tokens
from tests.emulators.openai.parsing import parse_body

GEMINI_MODELS = (
    "gemini-pro",
    "gemini-1.0-pro",
    "gemini-1.5-pro",
    "gemini-1.5-flash",
    "gemini-2.5-flash",
    "gemini-3-pro-preview",
)
_PATH = re.compile(
    r"/v1(?:beta1)?/projects/(?P<project>[^/]+)/locations/(?P<location>[^/]+)/"
    r"(?:publishers/(?P<publisher>[^/]+)/models|endpoints)/(?P<model>[^/:]+):(?P<verb>\w+)"
)
_ENDPOINT = "1234567890"
_HOSTS = (
    "oauth2.googleapis.com",
    "aiplatform.googleapis.com",
    "us-central1-aiplatform.googleapis.com",
    "aiplatform.eu.rep.googleapis.com",
)


class VertexEmulator(Emulator):
    """A strict Vertex AI server for tests.

    Attributes:
        tokens: The access tokens given out.
        token_requests: Number of requests to the token endpoint.
        token_status: Status that the token endpoint fails with; 0: it does not.
    """

    # As Google writes it.
    stream_type = "text/event-stream"

    def __init__(self, now: Callable[[], float] = time.time, port: int = 0) -> None:  # noqa: TID251
        super().__init__(port)
        self.tokens = Tokens(now)
        self.token_requests = 0
        self.token_status = 0

    def add_routes(self, app: web.Application) -> None:
        """Add the API's routes."""
        app.router.add_post("/token", self.route(self._token))
        app.router.add_route("*", "/{path:.*}", self.route(self._call))

    def error_body(self, status: int) -> Json:
        """Return an error of the API."""
        return error_body(status, f"emulated failure {status}")

    def error_event(self, body: Json) -> bytes:
        """Return an error inside a stream."""
        return b"data: " + json.dumps(body).encode() + b"\r\n\r\n"

    async def _token(self, request: web.Request) -> web.StreamResponse:
        self.token_requests += 1
        if self.token_status:
            raise TokenError("internal_failure", "emulated failure", status=self.token_status)
        if request.content_type != "application/x-www-form-urlencoded":
            raise TokenError("invalid_request", "Invalid content type")
        return web.json_response(self.tokens.exchange(await request.read()))

    async def _call(self, request: web.Request) -> web.StreamResponse:
        body = await self.record(request, parse_body)
        called = _PATH.fullmatch(request.path)
        if called is None or request.method != "POST":
            raise GoogleError(f"The requested URL {request.path} was not found", status=404)
        self.tokens.check(request.headers.get("Authorization", ""))
        if called["project"] != PROJECT:
            message = f"Permission denied on resource project {called['project']}."
            raise GoogleError(message, status=403)
        _check_host(request.host, called["location"])
        if request.content_type != "application/json" or not isinstance(body, dict):
            raise GoogleError("Invalid JSON payload received.")
        return await self._answer(request, body, called)

    async def _answer(
        self, request: web.Request, body: Json, called: re.Match[str]
    ) -> web.StreamResponse:
        model, verb = called["model"], called["verb"]
        is_gemini = called["publisher"] == "google" and model in GEMINI_MODELS
        if is_gemini or (called["publisher"] is None and model == _ENDPOINT):
            return await self._gemini(request, body, model, verb)
        if called["publisher"] == "anthropic" and (model, verb) == ("count-tokens", "rawPredict"):
            return await self.send_document(request, model, {"input_tokens": claude.count(body)})
        if called["publisher"] == "anthropic" and model in claude.MODELS:
            return await self._claude(request, body, model, verb)
        if model in embed_content.MODELS and verb == "embedContent":
            answer = embed_content.embed_content(body, model)
            return await self.send_document(request, model, answer)
        known = (*predict.EMBEDDING_MODELS, *predict.TEXT_MODELS, *predict.CHAT_MODELS)
        if called["publisher"] == "google" and model in known and verb == "predict":
            answer = predict.predict(body, model)
            return await self.send_document(request, model, answer)
        message = f"Publisher Model `{model}` was not found or your project does not have access."
        raise GoogleError(message, status=404)

    async def _gemini(
        self, request: web.Request, body: Json, model: str, verb: str
    ) -> web.StreamResponse:
        gemini_schema.check_request(body, model)
        if verb == "countTokens":
            counted = gemini_answers.count(body)
            return await self.send_document(request, model, {"totalTokens": counted})
        if verb == "generateContent":
            (answer,) = gemini_answers.responses(body, model, stream=False)
            return await self.send_document(request, model, answer)
        if verb != "streamGenerateContent" or request.query.get("alt") != "sse":
            raise GoogleError("this emulator streams with alt=sse only", status=404)
        events = [
            b"data: " + json.dumps(one).encode() + b"\r\n\r\n"
            for one in gemini_answers.responses(body, model, stream=True)
        ]
        return await self.send_stream(request, model, events)

    async def _claude(
        self, request: web.Request, body: Json, model: str, verb: str
    ) -> web.StreamResponse:
        if verb not in ("rawPredict", "streamRawPredict"):
            raise GoogleError(f"{verb} is not supported by this model", status=404)
        streamed = verb == "streamRawPredict"
        message = claude.message(body, model, stream=streamed)
        if streamed:
            return await self.send_stream(request, model, claude_stream.message_events(message))
        return await self.send_document(request, model, message)


def origins_of(origin: str) -> Mapping[str, str]:
    """Return what to connect to in Google's place, given the emulator's origin."""
    return {f"https://{host}": origin for host in _HOSTS}


def _check_host(host: str, location: str) -> None:
    """Refuse a location that is not the one of Google's host; other hosts are the emulator's."""
    expected = {"global": "aiplatform.googleapis.com", "eu": "aiplatform.eu.rep.googleapis.com"}
    if not host.endswith("googleapis.com"):
        return
    if host != expected.get(location, f"{location}-aiplatform.googleapis.com"):
        raise GoogleError("The location in the host and in the resource name differ.")
