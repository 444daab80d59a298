"""The watch stream: sends the snapshot, then what changes; takes acks and nacks.

Whoever connects is a worker: `server.internal_callers` lets in none but those with a certificate.
Before: `encoding`. Beside: `watchers`, `rollout_driver`. After: the worker's `snapshot_watcher`.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

import grpc
from modelserving.worker.v1.hosting_pb2 import DemandReport, Wake
from modelserving.worker.v1.snapshot_service_pb2 import (
    DESCRIPTOR,
    Heartbeat,
    Hello,
    Nack,
    WatchConfigRequest,
    WatchConfigResponse,
)

from modelplane.adapters.shared.telemetry import log_fields
from modelplane.control_plane.clock import wait_for
from modelplane.control_plane.errors import StoreUnavailable
from modelplane.control_plane.snapshots.cache import SnapshotCache
from modelplane.control_plane.snapshots.encoding import Encodings
from modelplane.control_plane.snapshots.watchers import Watcher, Watchers

_log = logging.getLogger(__name__)

_Context = grpc.aio.ServicerContext[WatchConfigRequest, bytes]


class NackSink(Protocol):
    """Takes what workers refuse."""

    async def refuse(self, worker_id: str, nacks: Sequence[Nack]) -> None:
        """Note that a worker could not apply some configurations of one revision."""


class DemandSink(Protocol):
    """Takes what workers ask of the groups of hosted models."""

    def note(self, worker_id: str, report: DemandReport) -> None:
        """Note how much a worker asks now."""

    def wake(self, wake: Wake) -> None:
        """Note that requests wait for a group that is at zero."""


class SnapshotServicer:
    """Serves `SnapshotService` to workers, in messages that are encoded already."""

    def __init__(
        self,
        cache: SnapshotCache,
        watchers: Watchers,
        nacks: NackSink,
        demand: DemandSink,
        heartbeat_seconds: float = 1.0,
    ) -> None:
        self._cache = cache
        self._encodings = Encodings(cache)
        self._watchers = watchers
        self._nacks = nacks
        self._demand = demand
        self._heartbeat_seconds = heartbeat_seconds

    async def WatchConfig(
        self, request_iterator: AsyncIterator[WatchConfigRequest], context: _Context
    ) -> AsyncIterator[bytes]:
        """Stream the configuration until the worker leaves or is dropped."""
        hello = await self._read_hello(request_iterator, context)
        # With values inside endpoints, a new one would have to be told for each of them.
        known = not (hello.takes_secrets and hello.holds_values)
        resume = known and self._cache.retains(hello.store_id, hello.last_revision)
        watcher = Watcher(hello.worker_id, hello.build, hello.last_revision if resume else 0)
        self._watchers.add(watcher)
        fields = {"worker": watcher.worker_id, "revision": hello.last_revision, "resume": resume}
        _log.info("worker connected", extra=log_fields(**fields))
        reader = asyncio.create_task(self._read(request_iterator, watcher))
        try:
            async for response in self._responses(
                watcher, resume=resume, by_reference=hello.takes_secrets
            ):
                yield response
        finally:
            reader.cancel()
            self._watchers.remove(watcher)
            _log.info("worker disconnected", extra=log_fields(worker=watcher.worker_id))
        await context.abort(
            grpc.StatusCode.ABORTED, "The stream was dropped: stale or replaced; reconnect."
        )

    async def _read_hello(
        self, requests: AsyncIterator[WatchConfigRequest], context: _Context
    ) -> Hello:
        async for request in requests:
            if request.HasField("hello") and request.hello.worker_id:
                return request.hello
            break
        await context.abort(
            grpc.StatusCode.INVALID_ARGUMENT, "The first message must be a Hello with a worker id."
        )
        raise AssertionError("abort returned")

    async def _read(self, requests: AsyncIterator[WatchConfigRequest], watcher: Watcher) -> None:
        nacks: list[Nack] = []
        try:
            async for request in requests:
                match request.WhichOneof("message"):
                    case "ack":
                        if nacks:
                            # Before the ack: else the versions would look accepted.
                            await self._nacks.refuse(watcher.worker_id, nacks)
                            nacks = []
                        self._watchers.acknowledge(watcher, request.ack.revision)
                    case "nack":
                        nacks.append(request.nack)
                    case "wake":
                        self._demand.wake(request.wake)
                    case "demand":
                        self._demand.note(watcher.worker_id, request.demand)
        except StoreUnavailable as error:
            fields = {"worker": watcher.worker_id, "error": str(error)}
            _log.warning("refusal not stored; worker must reconnect", extra=log_fields(**fields))
        finally:
            # The worker is leaving, or has to come back and say it again.
            watcher.drop()

    async def _responses(
        self, watcher: Watcher, *, resume: bool, by_reference: bool
    ) -> AsyncIterator[bytes]:
        store_id, sent = (self._cache.store_id, watcher.acked_revision) if resume else ("", 0)
        urgent_sent = sent
        while not watcher.dropped:
            # Cleared before reading, so that a change in between is not slept through.
            watcher.wake.clear()
            if not self._cache.retains(store_id, sent):
                for chunk in self._encodings.snapshot(by_reference=by_reference):
                    store_id, sent = chunk.store_id, chunk.revision
                    yield chunk.data
                urgent_sent = sent
            # One message at a time: what becomes urgent meanwhile goes before the next one.
            urgent, urgent_sent = self._cache.urgent_since(urgent_sent, sent)
            if urgent:
                yield WatchConfigResponse(delta=urgent).SerializeToString()
            if delta := self._encodings.delta_after(sent, by_reference=by_reference):
                sent = delta.revision
                yield delta.data
                continue
            if not await wait_for(watcher.wake, self._heartbeat_seconds):
                heartbeat = Heartbeat(newest_revision=self._cache.revision)
                yield WatchConfigResponse(heartbeat=heartbeat).SerializeToString()


def add_snapshot_servicer(servicer: SnapshotServicer, server: grpc.aio.Server) -> None:
    """Let a server serve it: what was generated for that would encode each message again."""
    service = DESCRIPTOR.services_by_name["SnapshotService"]
    watch: grpc.RpcMethodHandler[WatchConfigRequest, bytes] = grpc.stream_stream_rpc_method_handler(
        servicer.WatchConfig, request_deserializer=WatchConfigRequest.FromString
    )
    handler = grpc.method_handlers_generic_handler(service.full_name, {"WatchConfig": watch})
    server.add_generic_rpc_handlers([handler])
