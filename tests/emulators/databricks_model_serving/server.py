"""The emulator itself: serving endpoints whose models the emulated OpenAI answers for.

The answers are OpenAI's, as the service promises for these tasks; path, token, endpoint names and
errors are the service's own.
"""

from aiohttp import web

from tests.emulators.emulator import Json, Refusal
from tests.emulators.openai import models, schema
from tests.emulators.openai.errors import ApiError
from tests.emulators.openai.models import Task
from tests.emulators.openai.parsing import parse_body
from tests.emulators.openai.server import OpenAiEmulator

TOKEN = "dapi-emulated-0123456789"
ENDPOINTS: dict[str, tuple[Task, str]] = {
    "their-chat": ("chat/completions", "gpt-4"),
    "their-completions": ("completions", "gpt-3.5-turbo-instruct"),
    "their-embeddings": ("embeddings", "text-embedding-3-small"),
}
_CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "ENDPOINT_NOT_FOUND",
    409: "RESOURCE_CONFLICT",
    429: "REQUEST_LIMIT_EXCEEDED",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class DatabricksEmulator(OpenAiEmulator):
    """A workspace with three endpoints."""

    def __init__(self) -> None:
        super().__init__(TOKEN)

    def add_routes(self, app: web.Application) -> None:
        """Add the routes of the data plane."""
        path = "/serving-endpoints/{name}/invocations"
        app.router.add_route("*", path, self.route(self._invoke))

    def error_body(self, status: int) -> Json:
        """Return an error of the service."""
        return _error(status, f"emulated failure {status}")

    async def _invoke(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._answer_for(request)
        except ApiError as error:
            message = error.body["error"]["message"]
            raise Refusal(error.status, _error(error.status, message), error.headers) from None

    async def _answer_for(self, request: web.Request) -> web.StreamResponse:
        body = await self.record(request, parse_body)
        self._authenticate(request)
        if request.method != "POST" or not isinstance(body, dict):
            raise ApiError("The request must be a POST of a JSON object.")
        if "model" in body:
            raise ApiError("model: Extra inputs are not permitted")
        known = ENDPOINTS.get(request.match_info["name"])
        if known is None:
            raise ApiError("The given endpoint does not exist.", status=404)
        task, name = known
        body = body | {"model": name}
        schema.check_request(task, body)
        return await self._answer(request, task, body, models.find(name, task))


def _error(status: int, message: str) -> Json:
    return {"error_code": _CODES.get(status, "INTERNAL_ERROR"), "message": message}
