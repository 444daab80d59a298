"""Runs a worker on a socket: HTTP/1.1 for queries of the REST API and for gRPC calls.

`__main__.py` runs it; tests run it in their own event loop. `worker.py` puts the worker together.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from modelplane.adapters.shared.rpc.tls import check_loopback, reload, server_context
from modelplane.data_plane.hosts.grpc.calls import GrpcCalls
from modelplane.data_plane.hosts.grpc.health_check import health_check
from modelplane.data_plane.hosts.http1.listener import UNIX, Listener
from modelplane.data_plane.hosts.native import NativeCalls
from modelplane.data_plane.hosts.rest import RestCalls
from modelplane.data_plane.hosts.routes import Routes
from modelplane.data_plane.process import Clocks
from modelplane.data_plane.settings import Settings
from modelplane.data_plane.snapshots.readiness import TICK_SECONDS, Readiness
from modelplane.data_plane.snapshots.snapshot import Snapshots
from modelplane.data_plane.worker import RPCS, assembled, following


@dataclass(frozen=True, slots=True)
class RunningWorker:
    """A running worker.

    Attributes:
        listener: Takes its requests.
        snapshots: What it serves from.
        readiness: Whether it may be sent traffic.
    """

    listener: Listener
    snapshots: Snapshots
    readiness: Readiness


@asynccontextmanager
async def running_worker(
    settings: Settings,
    registry: CollectorRegistry,
    clocks: Clocks,
    wall_ms: Callable[[], float],
) -> AsyncIterator[RunningWorker]:
    """Run a worker; on leaving it reports not ready, lets calls in flight end, and stops.

    Args:
        settings: Its settings.
        registry: Receives its metrics.
        clocks: Time and chance.
        wall_ms: Wall time, milliseconds since the epoch.

    Raises:
        OSError: The address cannot be had.
        ValueError: A setting is malformed.
    """
    async with (
        _securing(settings) as tls,
        assembled(settings, registry, clocks, wall_ms) as worker,
    ):
        checks = health_check(worker.readiness, {rpc.service for rpc in RPCS})
        grpc = GrpcCalls(RPCS, worker.inference, checks)
        native = NativeCalls(worker.inference, wall_ms)
        rest = RestCalls(worker.inference, native.speak_responses)
        routes = Routes(rest, native, grpc, worker.readiness.obstacle)
        listener = Listener(routes)
        for transport in worker.transports:
            transport.relieve = listener.close_idle
        # It follows until all calls have ended: some may wait for a model that is just starting.
        async with listener.listening(settings.worker_listen, tls), following(worker):
            async with _taking_over(listener, worker.readiness):
                yield RunningWorker(listener, worker.snapshots, worker.readiness)
            worker.readiness.drain()
            await clocks.sleep(settings.notice_seconds)
            await listener.drain(settings.drain_seconds)


@asynccontextmanager
async def _taking_over(listener: Listener, readiness: Readiness) -> AsyncIterator[None]:
    """Take the address over from another worker, if one has it, once this one is ready."""

    async def wait() -> None:
        while not readiness.serving():  # noqa: ASYNC110 - it depends on time
            await asyncio.sleep(TICK_SECONDS)
        listener.take_over()

    waiting = asyncio.create_task(wait())
    try:
        yield
    finally:
        waiting.cancel()


@asynccontextmanager
async def _securing(settings: Settings) -> AsyncIterator[ssl.SSLContext | None]:
    """Yield what connections are made with; None: in plaintext, on this machine."""
    if settings.worker_listen.startswith(UNIX):
        yield None
        return
    if settings.tls is None:
        check_loopback(settings.worker_listen, "MODELPLANE_WORKER_LISTEN")
        yield None
        return
    context = server_context(settings.tls)
    reloading = asyncio.create_task(reload(context, settings.tls))
    try:
        yield context
    finally:
        reloading.cancel()
