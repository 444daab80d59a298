"""What AWS services with the JSON protocol share: the target header, the signature, the errors.

`amazon_kms` and `amazon_secrets_manager` add the operations.
"""

import time
from abc import abstractmethod
from collections.abc import Callable, Mapping

from aiohttp import web

from tests.emulators.amazon_bedrock.signature import KEY, check_signature
from tests.emulators.emulator import Emulator, Json, Refusal
from tests.emulators.openai.parsing import parse_body

REGION = "us-east-1"
CONTENT_TYPE = "application/x-amz-json-1.1"

# Fields of a request: required, optional.
Fields = tuple[frozenset[str], frozenset[str]]


def environment(service: str, origin: str) -> dict[str, str]:
    """Return the variables by which an AWS client finds an emulator and its own identity."""
    return {
        "AWS_ACCESS_KEY_ID": KEY.key_id,
        "AWS_SECRET_ACCESS_KEY": KEY.secret,
        f"AWS_ENDPOINT_URL_{service}": origin,
    }


class AmazonJsonEmulator(Emulator):
    """A strict AWS service for tests.

    Attributes:
        refused: Code that every call is refused with; empty: none is.
        operations: Names of the operations called so far.
    """

    service = ""
    target = ""

    def __init__(self, port: int = 0) -> None:
        super().__init__(port)
        self.refused = ""
        self.operations: list[str] = []

    @property
    @abstractmethod
    def fields(self) -> Mapping[str, Fields]:
        """Fields of each operation."""

    @abstractmethod
    def operate(self, operation: str, body: Json) -> Json:
        """Answer a call whose form is right."""

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/", self.route(self._answer))

    def error_body(self, status: int) -> Json:
        return {"__type": "InternalFailure", "message": f"emulated failure ({status})"}

    def error_event(self, body: Json) -> bytes:
        raise NotImplementedError

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await self.record(request, parse_body)
        now: Callable[[], float] = time.time  # noqa: TID251 - clients sign with the real time
        url = f"http://{request.headers['Host']}/"
        raw = self.requests[-1].raw
        headers, keys = request.headers, {KEY.key_id: KEY}
        try:
            check_signature(keys, REGION, url, headers, raw, now(), self.service)
        except Refusal as error:
            # Here the kind of the refusal stands in the body.
            kind = error.headers["x-amzn-errortype"].partition(":")[0]
            raise refusal(kind, error.body["message"]) from None
        prefix, _, operation = request.headers.get("X-Amz-Target", "").partition(".")
        if prefix != self.target or operation not in self.fields:
            raise refusal("UnknownOperationException")
        if request.headers.get("Content-Type") != CONTENT_TYPE or not isinstance(body, dict):
            raise refusal("SerializationException")
        required, optional = self.fields[operation]
        if not required <= body.keys() <= required | optional:
            raise refusal("ValidationException", f"fields: {sorted(body)}")
        if self.refused:
            raise refusal(self.refused)
        self.operations.append(operation)
        answer = self.operate(operation, body)
        return web.json_response(answer, content_type=CONTENT_TYPE)


def refusal(code: str, message: str = "emulated") -> Refusal:
    """Return a refusal with a code."""
    return Refusal(400, {"__type": code, "message": message})
