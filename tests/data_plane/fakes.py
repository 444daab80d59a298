"""Stand-ins for what surrounds a worker."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
from modelserving.worker.v1 import snapshot_service_pb2 as pb
from modelserving.worker.v1 import snapshot_service_pb2_grpc as pb_grpc
from modelserving.worker.v1 import usage_service_pb2_grpc as usage_grpc
from modelserving.worker.v1.usage_service_pb2 import RecordUsageRequest, RecordUsageResponse

from modelplane.adapters.providers.types import Query
from modelplane.adapters.shared.rpc.server import OPTIONS
from modelplane.data_plane.calls.record import Record


class FakeClock:
    """Monotonic time that moves when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class MovableClock:
    """The monotonic clock, which a test may move on."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


class NoLedger:
    """Keeps nothing."""

    def begin(self, record: Record, query: Query) -> None:
        """Write nothing."""

    def end(self, record: Record) -> None:
        """Write nothing."""


class Repeats:
    """Lets every request be sent once more; see `upstream.Resends`.

    Attributes:
        told: Classes of the errors that were reasons.
    """

    def __init__(self) -> None:
        self.told: list[str] = []

    def stale(self) -> None:
        self.told.append("StaleConnection")

    def may_repeat(self, error: str, *, in_passing: bool = False) -> bool:
        del in_passing
        self.told.append(error)
        return True


class FakeUsageLedger(usage_grpc.UsageLedgerServiceServicer):
    """Takes what workers report.

    Attributes:
        requests: What they reported, in order of arrival.
    """

    def __init__(self) -> None:
        self.requests: list[RecordUsageRequest] = []

    async def RecordUsage(  # noqa: N802 - named by the service
        self, request: RecordUsageRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> RecordUsageResponse:
        del context
        self.requests.append(request)
        return RecordUsageResponse()


class FakeControlPlane(pb_grpc.SnapshotServiceServicer):
    """A real gRPC watch service that sends what a test gives it.

    Attributes:
        received: What workers sent, in order of arrival.
        usage: Takes what they report of queries.
    """

    def __init__(self) -> None:
        self.received: asyncio.Queue[pb.WatchConfigRequest] = asyncio.Queue()
        self.usage = FakeUsageLedger()
        self.port = 0
        self._outgoing: asyncio.Queue[pb.WatchConfigResponse | None] = asyncio.Queue()
        self._server: grpc.aio.Server | None = None

    async def WatchConfig(  # noqa: N802 - named by the service
        self,
        request_iterator: AsyncIterator[pb.WatchConfigRequest],
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> AsyncIterator[pb.WatchConfigResponse]:
        del context
        reader = asyncio.create_task(self._read(request_iterator))
        try:
            while (message := await self._outgoing.get()) is not None:
                yield message
        finally:
            reader.cancel()

    def push(self, *messages: pb.WatchConfigResponse | None) -> None:
        """Send messages to the worker; None ends the stream."""
        for message in messages:
            self._outgoing.put_nowait(message)

    async def next(self) -> pb.WatchConfigRequest:
        return await asyncio.wait_for(self.received.get(), 120)

    async def start(self) -> None:
        self._server = grpc.aio.server(options=OPTIONS)
        pb_grpc.add_SnapshotServiceServicer_to_server(self, self._server)
        usage_grpc.add_UsageLedgerServiceServicer_to_server(self.usage, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def _read(self, messages: AsyncIterator[pb.WatchConfigRequest]) -> None:
        async for message in messages:
            self.received.put_nowait(message)
