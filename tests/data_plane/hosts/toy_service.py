"""A service that does what it is told: the `mode` in the body says what.

`ListModels` tells how often a caller has left.
"""

import asyncio

import grpc
import orjson

from modelplane.adapters.providers.types import JsonObject
from modelplane.adapters.shared.rpc.status import Status
from modelplane.data_plane.calls.call import Call, Method, Reply
from modelplane.data_plane.calls.refusals import Refused
from modelplane.data_plane.errors import Refusal

NASTY = 'He said "no",\n\\back\\ ünïcode 漢字 100% \t<tab>'
PART = b"x" * 100_000
_REFUSAL = Refusal(
    Status(grpc.StatusCode.RESOURCE_EXHAUSTED, 429, "REQUEST_LIMIT_EXCEEDED"), NASTY, 3
)


class ToyService:
    """Does what a request says."""

    def __init__(self) -> None:
        self.started = 0
        self.left = 0
        # Parts of the last answer that were sent.
        self.parts = 0

    async def answer(self, call: Call, reply: Reply) -> None:
        if call.method is Method.LIST_MODELS:
            counts: JsonObject = {"started": self.started, "left": self.left, "parts": self.parts}
            await reply.answer((), reply.encode(counts))
            return
        assert call.receive
        await call.receive(call)
        assert isinstance(call.body, bytes)
        body = orjson.loads(call.body)
        # How the call has come: the transcoder tells of the path that it replaced.
        transcoded = "x-envoy-original-path" in call.metadata
        mode = body["mode"]
        if mode == "refuse":
            raise Refused(_REFUSAL)
        initial = (
            ("served-model-name", "toy"),
            ("x-request-id", call.request_id),
            ("x-transcoded", str(transcoded)),
        )
        if mode == "whole":
            await reply.answer(initial, call.body)
            return
        if mode == "echo":
            told: JsonObject = {
                "deadline": call.deadline_seconds,
                "bytes": len(call.body),
                "to": call.name,
            }
            await reply.answer(initial, reply.encode(told))
            return
        await reply.start(initial)
        for number in range(body.get("parts", 0)):
            await reply.send((PART,), ended=False)
            self.parts = number + 1
        if mode == "refuse-late":
            await reply.send((b"{}",), ended=False)
            raise Refused(_REFUSAL)
        if mode == "hang":
            await self._hang(reply)

    async def _hang(self, reply: Reply) -> None:
        self.started += 1
        await reply.send((b"{}",), ended=False)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.left += 1
            raise
