"""Runs a worker on a grpc.aio server of its own.

`__main__.py` runs it; tests run it in their own event loop. `worker.py` puts the worker together.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from modelplane.adapters.rpc.server import new_server, running
from modelplane.data_plane.hosts.grpc_host import rpc_handlers
from modelplane.data_plane.hosts.health_servicer import HealthServicer
from modelplane.data_plane.settings import Settings
from modelplane.data_plane.snapshots.readiness import Readiness
from modelplane.data_plane.snapshots.snapshot import Snapshots
from modelplane.data_plane.snapshots.snapshot_watcher import Clocks
from modelplane.data_plane.worker import RPCS, assembled, following


@dataclass(frozen=True, slots=True)
class RunningWorker:
    """A running worker.

    Attributes:
        port: Port of the inference service.
        snapshots: What it serves from.
        readiness: Whether it may be sent traffic.
    """

    port: int
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
        RuntimeError: The address cannot be bound.
        ValueError: A setting is malformed.
    """
    async with assembled(settings, registry, clocks, wall_ms) as worker:
        health = HealthServicer(worker.readiness)
        server = new_server(sorted({rpc.service for rpc in RPCS}), health)
        server.add_generic_rpc_handlers(tuple(rpc_handlers(RPCS, worker.inference)))
        async with (
            running(server, settings.worker_listen, settings.drain_seconds) as port,
            following(worker),
        ):
            yield RunningWorker(port, worker.snapshots, worker.readiness)
