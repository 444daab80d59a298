"""Keeps a watch stream to the control plane open and applies what it pushes.

What is received becomes the current snapshot (`snapshot.py`) and is acknowledged; whether the
worker is fit to serve is judged by `readiness.py`. Without a control plane the worker goes on with
the last snapshot and tries again, with growing, random pauses.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

import grpc
from modelserving.worker.v1 import snapshot_service_pb2 as pb
from modelserving.worker.v1 import snapshot_service_pb2_grpc as pb_grpc
from modelserving.worker.v1.snapshot_pb2 import EndpointResource

from modelplane.adapters.shared.rpc.control_link import ControlLink
from modelplane.adapters.shared.telemetry import log_fields
from modelplane.data_plane.hosting.demand import Demand
from modelplane.data_plane.process import Clocks
from modelplane.data_plane.snapshots.builder import SnapshotBuilder
from modelplane.data_plane.snapshots.config_metrics import ConfigMetrics
from modelplane.data_plane.snapshots.readiness import Readiness
from modelplane.data_plane.snapshots.snapshot import Snapshots

_log = logging.getLogger(__name__)
_Stream: TypeAlias = "grpc.aio.StreamStreamCall[pb.WatchConfigRequest, pb.WatchConfigResponse]"

# Compiling thousands of endpoints in one go would hold up the requests in flight.
_BATCH = 200


@dataclass(frozen=True, slots=True)
class Source:
    """Where the configuration comes from, and as whom the worker asks for it.

    Attributes:
        link: The way to the control planes.
        worker_id: Identifier of this worker.
        build: Version of its software.
    """

    link: ControlLink
    worker_id: str
    build: str


class _Uplink:
    """Sends messages over a watch stream, one after the other, as gRPC wants it."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream
        self._turn = asyncio.Lock()

    async def send(self, message: pb.WatchConfigRequest) -> None:
        """Send one message.

        Raises:
            InvalidStateError: The stream broke.
        """
        async with self._turn:
            await self._stream.write(message)


class SnapshotWatcher:
    """Applies what the control plane pushes, for as long as it runs."""

    def __init__(
        self,
        source: Source,
        snapshots: Snapshots,
        readiness: Readiness,
        metrics: ConfigMetrics,
        clocks: Clocks,
        forget: Callable[[str], None],
    ) -> None:
        """Watch `source`.

        Args:
            source: Where the configuration comes from.
            snapshots: Takes what was applied.
            readiness: Told what was heard and applied.
            metrics: Told the same.
            clocks: Time and chance.
            forget: Called with the name of each endpoint that is gone.
        """
        self._source = source
        self._forget = forget
        self._snapshots = snapshots
        self._readiness = readiness
        self._metrics = metrics
        self._clocks = clocks
        self._demand = Demand(snapshots.groups)
        self._full: SnapshotBuilder | None = None
        # Groups in the parts of a full snapshot that have come.
        self._full_groups: set[str] = set()
        self._failures = 0
        self._heard = False
        self._heard_at = self._applied_at = clocks.monotonic()
        metrics.silence.set_function(lambda: clocks.monotonic() - self._heard_at)
        metrics.config_age.set_function(lambda: clocks.monotonic() - self._applied_at)

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            target = self._source.link.target
            try:
                await self._watch()
                reason = "the stream ended"
            except grpc.aio.AioRpcError as error:
                reason = f"{error.code().name}: {error.details()}"
            except Exception as error:  # noqa: BLE001 - the last good snapshot outlives any bug here
                # Its text stays out: what is pushed holds credentials.
                reason = f"bug: {type(error).__name__}"
            self._note_broken()
            pause = self._source.link.pause(self._failures, self._clocks.random)
            fields = log_fields(target=target, reason=reason, pause_seconds=round(pause, 3))
            _log.warning("the watch stream is down", extra=fields)
            await self._clocks.sleep(pause)

    async def _watch(self) -> None:
        """Watch one control plane until the stream breaks."""
        self._heard = False
        async with self._source.link.stream() as channel:
            stream: _Stream = pb_grpc.SnapshotServiceStub(channel).WatchConfig()
            uplink = _Uplink(stream)
            telling: asyncio.Task[None] | None = None
            try:
                await uplink.send(self._hello())
                self._full = None
                telling = asyncio.create_task(self._tell(uplink))
                async for message in stream:
                    self._note_alive()
                    await self._receive(uplink, message)
            except asyncio.InvalidStateError:
                # Writing to a stream that broke: its status says why.
                await _raise_status(stream)
            finally:
                if telling is not None:
                    telling.cancel()
                    await asyncio.wait([telling])

    async def _tell(self, uplink: _Uplink) -> None:
        """Tell what is asked of groups, until the stream breaks, as whoever reads it will see."""
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await self._demand.run(uplink.send)

    def _hello(self) -> pb.WatchConfigRequest:
        current = self._snapshots.current
        return pb.WatchConfigRequest(
            hello=pb.Hello(
                worker_id=self._source.worker_id,
                build=self._source.build,
                last_revision=current.revision,
                store_id=current.store_id,
                takes_secrets=True,
                holds_values=current.secrets.inlined,
            )
        )

    def _note_broken(self) -> None:
        self._metrics.connected.set(0)
        if self._heard:
            # The end of a stream says nothing of what changed since: ask again before judging.
            self._failures = 0
            return
        self._failures += 1
        if self._failures >= len(self._source.link):
            self._readiness.unreachable()

    def _note_alive(self) -> None:
        if not self._heard:
            self._heard = True
            self._readiness.connected()
        self._heard_at = self._clocks.monotonic()
        self._metrics.connected.set(1)

    async def _receive(self, uplink: _Uplink, message: pb.WatchConfigResponse) -> None:
        match message.WhichOneof("message"):
            case "snapshot":
                await self._receive_chunk(uplink, message.snapshot)
            case "delta":
                await self._receive_delta(uplink, message.delta)
            case "heartbeat":
                self._readiness.heard(message.heartbeat.newest_revision)

    async def _receive_chunk(self, uplink: _Uplink, chunk: pb.SnapshotChunk) -> None:
        builder = self._full
        if builder is None:
            current = self._snapshots.current
            builder = SnapshotBuilder(current, self._clocks.random, empty=True)
            self._full = builder
            self._full_groups = set()
        groups = self._snapshots.groups
        groups.put(chunk.groups)
        self._full_groups.update(group.id for group in chunk.groups)
        await _put_endpoints(builder, builder.endpoints_of(chunk))
        builder.put_callers(chunk)
        self._readiness.heard(0)
        if chunk.last:
            self._full = None
            self._swap(builder, chunk.revision, chunk.store_id)
            groups.keep(self._full_groups)
            self._readiness.restarted(chunk.revision)
            await self._acknowledge(uplink, builder, chunk.revision)

    async def _receive_delta(self, uplink: _Uplink, delta: pb.ConfigDelta) -> None:
        current = self._snapshots.current
        builder = SnapshotBuilder(current, self._clocks.random)
        builder.remove(delta)
        # At once: somebody may be waiting for them.
        self._snapshots.groups.put(delta.groups)
        await _put_endpoints(builder, builder.endpoints_of(delta))
        builder.put_callers(delta)
        self._swap(builder, delta.revision, current.store_id)
        # Who waits for one that is gone looks for what serves the endpoint by now.
        self._snapshots.groups.remove(delta.removed_group_ids)
        self._readiness.heard(delta.revision)
        self._readiness.applied(delta.revision)
        await self._acknowledge(uplink, builder, delta.revision)

    def _swap(self, builder: SnapshotBuilder, revision: int, store_id: str) -> None:
        self._snapshots.current = builder.build(revision, store_id)
        self._applied_at = self._clocks.monotonic()
        self._metrics.revision.set(revision)
        for name in builder.gone():
            self._forget(name)

    async def _acknowledge(self, uplink: _Uplink, builder: SnapshotBuilder, revision: int) -> None:
        for failure in builder.failures:
            self._metrics.nacks.inc()
            nack = pb.Nack(
                revision=revision,
                endpoint_id=failure.endpoint_id,
                config_version=failure.config_version,
                reason=failure.reason,
                serving=failure.serving,
            )
            fields = log_fields(endpoint_id=failure.endpoint_id, reason=failure.reason)
            _log.warning("a configuration was refused", extra=fields)
            await uplink.send(pb.WatchConfigRequest(nack=nack))
        await uplink.send(pb.WatchConfigRequest(ack=pb.Ack(revision=revision)))
        _log.debug("applied", extra=log_fields(revision=revision))


async def _put_endpoints(builder: SnapshotBuilder, resources: Iterator[EndpointResource]) -> None:
    while batch := list(islice(resources, _BATCH)):
        builder.put_endpoints(batch)
        await asyncio.sleep(0)


async def _raise_status(stream: _Stream) -> None:
    raise grpc.aio.AioRpcError(
        await stream.code(),
        await stream.initial_metadata(),
        await stream.trailing_metadata(),
        await stream.details(),
    )
