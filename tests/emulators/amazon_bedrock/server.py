"""The emulator itself: bedrock-runtime of one region, and the token service that lends keys.

A request is recorded, its signature checked, its body checked against botocore's service model
and the model's own format, and then answered.
"""

import base64
import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

from aiohttp import web

from tests.emulators.amazon_bedrock import converse, frames, invoke, models
from tests.emulators.amazon_bedrock.converse_rules import check_conversation
from tests.emulators.amazon_bedrock.errors import error_body, refusal
from tests.emulators.amazon_bedrock.schema import check_body
from tests.emulators.amazon_bedrock.signature import (
    KEY,
    TEMPORARY_KEY,
    AccessKey,
    check_signature,
)
from tests.emulators.emulator import Emulator, Json, Refusal
from tests.emulators.openai.parsing import parse_body

REGION = "us-east-1"
REQUEST_ID = "6d1c3b2e-emulated"
_OPERATIONS = {
    "invoke": "InvokeModel",
    "count-tokens": "CountTokens",
    "invoke-with-response-stream": "InvokeModelWithResponseStream",
    "converse": "Converse",
    "converse-stream": "ConverseStream",
}
_ASSUMED = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleResult><Credentials><AccessKeyId>{key_id}</AccessKeyId>
<SecretAccessKey>{secret}</SecretAccessKey><SessionToken>{token}</SessionToken>
<Expiration>{expiration}</Expiration></Credentials><AssumedRoleUser>
<Arn>{arn}</Arn><AssumedRoleId>AROA:modelplane</AssumedRoleId></AssumedRoleUser></AssumeRoleResult>
</AssumeRoleResponse>"""
_DENIED = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error>
<Type>Sender</Type><Code>{code}</Code><Message>emulated: {code}</Message></Error></ErrorResponse>"""


class BedrockEmulator(Emulator):
    """A strict Bedrock server for tests.

    Attributes:
        keys: Keys that may sign, by their id.
        assumed: Number of times that a role was assumed.
        life_seconds: How long the keys of a role live.
        lends_revoked_keys: Whether the keys of a role are refused from the start.
        denied: Code with which the token service refuses; empty: it does not.
    """

    answer_headers: Mapping[str, str] = {"x-amzn-RequestId": REQUEST_ID}
    stream_type = "application/vnd.amazon.eventstream"

    def __init__(
        self,
        port: int = 0,
        region: str = REGION,
        now: Callable[[], float] = time.time,  # noqa: TID251 - clients sign with the real time
    ) -> None:
        super().__init__(port)
        self.keys: dict[str, AccessKey] = {one.key_id: one for one in (KEY, TEMPORARY_KEY)}
        self.assumed = 0
        self.life_seconds = 3600.0
        self.denied = ""
        self.lends_revoked_keys = False
        self._region = region
        self._now = now

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/sts{tail:/?}", self.route(self._assume_role))
        app.router.add_post("/{path:.*}", self.route(self._operate))

    def error_body(self, status: int) -> Json:
        return error_body(status, "emulated failure")

    def error_event(self, body: Json) -> bytes:
        fields = dict(body)
        return frames.exception(fields.pop("__type", "InternalServerException"), fields)

    async def _operate(self, request: web.Request) -> web.StreamResponse:
        body = await self.record(request, parse_body)
        self._check_signature(request, await request.read())
        # Ids and ARNs are one segment, so the path is read before it is decoded.
        segments = request.rel_url.raw_path.split("/")
        if len(segments) != 4 or segments[1] != "model" or segments[3] not in _OPERATIONS:
            raise Refusal(404, {"message": "Unknown operation"})
        # Where no type is named, it is JSON.
        content_type = request.headers.get("Content-Type", "application/json")
        if content_type != "application/json" or not isinstance(body, dict):
            raise refusal("Malformed input request, please reformat your input and try again.")
        model_id, operation = unquote(segments[2]), segments[3]
        stream = operation.endswith("-stream")
        if operation == "count-tokens":
            return await self._count(request, model_id, body)
        if operation.startswith("converse"):
            return await self._converse(request, model_id, body, stream=stream)
        return await self._invoke(request, model_id, body, stream=stream)

    async def _count(self, request: web.Request, model_id: str, body: Json) -> web.StreamResponse:
        check_body("CountTokens", model_id, body)
        own = json.loads(base64.b64decode(body["input"]["invokeModel"]["body"]))
        model = models.find(model_id)
        invoke.check(model_id, model, own, stream=False)
        _, counts = invoke.answer(model_id, model, own)
        return await self.send_document(request, model_id, {"inputTokens": counts.prompt})

    async def _converse(
        self, request: web.Request, model_id: str, body: Json, *, stream: bool
    ) -> web.StreamResponse:
        check_body("ConverseStream" if stream else "Converse", model_id, body)
        model = models.find(model_id)
        if not model.converses:
            raise refusal("This action doesn't support the model that you provided.")
        check_conversation(body, model_id, model)
        if stream:
            return await self.send_stream(request, model_id, converse.events(model_id, body))
        return await self.send_document(request, model_id, converse.answer(model_id, body))

    async def _invoke(
        self, request: web.Request, model_id: str, body: Json, *, stream: bool
    ) -> web.StreamResponse:
        model = models.find(model_id)
        if not model.form:
            raise refusal("This emulator has no format for InvokeModel with this model.")
        invoke.check(model_id, model, body, stream=stream)
        if stream:
            events = [frames.chunk(event) for event in invoke.events(model_id, model, body)]
            return await self.send_stream(request, model_id, events)
        whole, counts = invoke.answer(model_id, model, body)
        headers = {
            "x-amzn-bedrock-input-token-count": str(counts.prompt),
            "x-amzn-bedrock-output-token-count": str(counts.completion),
            "x-amzn-bedrock-invocation-latency": "20",
        }
        return await self.send_document(request, model_id, whole, headers)

    async def _assume_role(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        try:
            self._check_signature(request, raw, service="sts")
        except Refusal:
            denied = _DENIED.format(code="SignatureDoesNotMatch")
            return web.Response(text=denied, status=403, content_type="text/xml")
        form = {name: values[0] for name, values in parse_qs(raw.decode()).items()}
        arn = form.get("RoleArn", "")
        if self.denied or form.get("Action") != "AssumeRole" or ":role/" not in arn:
            body = _DENIED.format(code=self.denied or "ValidationError")
            return web.Response(text=body, status=403, content_type="text/xml")
        self.assumed += 1
        key = AccessKey(
            f"ASIAASSUMED{self.assumed:09}",
            f"assumed-{self.assumed}",
            f"token=={self.assumed}",
            self.lends_revoked_keys,
        )
        self.keys[key.key_id] = key
        until = datetime.fromtimestamp(self._now() + self.life_seconds, UTC)
        text = _ASSUMED.format(
            key_id=key.key_id,
            secret=key.secret,
            token=escape(key.token),
            expiration=until.strftime("%Y-%m-%dT%H:%M:%SZ"),
            arn=escape(arn),
        )
        return web.Response(text=text, content_type="text/xml")

    def _check_signature(self, request: web.Request, raw: bytes, service: str = "bedrock") -> None:
        url = f"http://{request.headers['Host']}{request.rel_url.raw_path_qs}"
        check_signature(self.keys, self._region, url, request.headers, raw, self._now(), service)
