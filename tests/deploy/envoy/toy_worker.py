"""A toy worker behind a real Envoy: a worker's own server around behaviour that a request chooses.

The `mode` in the body says what to do.
"""

import asyncio
import ssl
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any, Self

import grpc
import orjson

from modelplane.adapters.shared.rpc.status import Status
from modelplane.data_plane.calls.call import Call, Reply
from modelplane.data_plane.calls.refusals import Refused
from modelplane.data_plane.errors import MalformedRequest, Refusal
from modelplane.data_plane.hosts.grpc.calls import GrpcCalls
from modelplane.data_plane.hosts.http1.listener import Listener
from modelplane.data_plane.hosts.native import NativeCalls
from modelplane.data_plane.hosts.rest import RestCalls
from modelplane.data_plane.hosts.routes import Routes
from modelplane.data_plane.worker import RPCS
from modelplane.deploy.envoy.options import Address

NASTY = 'He said "no",\n\\back\\ {"json":1} ünïcode 漢字 100% \t<tab>'
PART = b"x" * 100_000
# As it is sent.
EVENT = b"data: %b\n\n" % PART
# Envoy tells of the path that the transcoder has replaced.
_ORIGINAL_PATH = "x-envoy-original-path"
_CODE = grpc.StatusCode
_REFUSAL = Refusal(Status(_CODE.RESOURCE_EXHAUSTED, 429, "REQUEST_LIMIT_EXCEEDED"), NASTY, 3)
_UNAVAILABLE = Refusal(
    Status(_CODE.UNAVAILABLE, 503, "TEMPORARILY_UNAVAILABLE"), "after the initial metadata"
)


class ToyService:
    """Does what a request says, and remembers what it was."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.go_on = asyncio.Event()
        self.last: Call | None = None
        # Headers of the last request.
        self.metadata: Mapping[str, str] = {}
        # Parts of the last answer that were sent.
        self.parts = 0

    async def answer(self, call: Call, reply: Reply) -> None:
        if call.receive is not None:
            await call.receive(call)
        self.last = call
        self.metadata = dict(call.metadata)
        self.seen[call.name] += 1
        try:
            assert isinstance(call.body, bytes)
            body = orjson.loads(call.body or b"{}")
        except ValueError as error:
            raise MalformedRequest(f"not JSON: {error}") from error
        mode = body.get("mode", "echo") if isinstance(body, dict) else "echo"
        if mode == "refuse":
            raise Refused(_REFUSAL)
        if mode == "hang":
            await self._hang()
        metadata = (
            ("served-model-name", "toy"),
            ("x-modelplane-config-version", "4"),
            ("x-request-id", call.request_id),
            ("x-transcoded", str(_ORIGINAL_PATH in call.metadata)),
        )
        if mode == "echo":
            await reply.answer(metadata, call.body or b"{}")
        elif mode == "large":
            await reply.answer(metadata, b"x" * (12 << 20))
        else:
            await self._stream(mode, body, reply, metadata)

    async def _stream(self, mode: str, body: Any, reply: Reply, metadata: Any) -> None:
        await reply.start(metadata)
        if mode == "refuse-at-once":
            raise Refused(_UNAVAILABLE)
        for number in range(body.get("parts", 0)):
            await reply.send((PART,), ended=False)
            self.parts = number + 1
        if mode == "stream":
            for index in range(3):
                await reply.send((str(index).encode(),), ended=False)
                self.started.set()
                await self.go_on.wait()
                self.go_on.clear()
        elif mode == "refuse-late":
            await reply.send((b"0",), ended=False)
            raise Refused(_UNAVAILABLE)
        elif mode == "hang-stream":
            await reply.send((b"0",), ended=False)
            await self._hang()

    async def _hang(self) -> None:
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()


class ToyWorker:
    """A toy worker on an address of this machine."""

    def __init__(self, address: Address | None = None, tls: ssl.SSLContext | None = None) -> None:
        """Make a worker that does not serve yet.

        Args:
            address: Where it will; None: a free port.
            tls: How it knows its callers, and they it.
        """
        self.address = address or Address("127.0.0.1", 0)
        self.service = ToyService()
        # Why health checks are to send no requests; empty: they are.
        self.obstacle = ""
        self._tls = tls
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        native = NativeCalls(self.service, lambda: 0.0)
        rest = RestCalls(self.service, native.speak_responses)
        grpc_calls = GrpcCalls(RPCS, self.service)
        listener = Listener(Routes(rest, native, grpc_calls, lambda: self.obstacle))
        listening = listener.listening(str(self.address), self._tls)
        await self._stack.enter_async_context(listening)
        if not self.address.path:
            self.address = Address(self.address.host, listener.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """End at once, as a killed one does."""
        await self._stack.aclose()
