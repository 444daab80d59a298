"""Composition root of a worker: runs until it is told to stop."""

import asyncio
import logging
import signal
import sys
from collections.abc import Sequence

import uvloop
from prometheus_client import REGISTRY

from modelplane.adapters.shared.garbage import tune_garbage_collection
from modelplane.adapters.shared.probes import Probes
from modelplane.adapters.shared.telemetry import configure_logging, log_fields, serve_metrics
from modelplane.data_plane.process import (
    new_clocks,
    raise_file_limit,
    slice_threads,
    wall_ms,
)
from modelplane.data_plane.server import running_worker
from modelplane.data_plane.settings import Settings, load_settings

_log = logging.getLogger("modelplane.data_plane")


def main(argv: Sequence[str]) -> int:
    """Run a worker until SIGTERM or SIGINT; return the process's exit code."""
    return run(load_settings(argv))


def run(settings: Settings) -> int:
    """Run a worker with these settings until SIGTERM or SIGINT; return the exit code."""
    configure_logging(settings.log_level)
    try:
        uvloop.run(_serve(settings))
    except (ValueError, RuntimeError, OSError) as error:
        _log.error("the worker cannot start", extra=log_fields(reason=str(error)))
        return 1
    return 0


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    host, _, port = settings.worker_metrics_listen.rpartition(":")
    probes = Probes(loop)
    metrics_port = serve_metrics(host, int(port), REGISTRY, probes.paths)
    tune_garbage_collection()
    slice_threads()
    raise_file_limit()
    async with running_worker(settings, REGISTRY, new_clocks(), wall_ms) as worker:
        probes.ready = worker.readiness.obstacle
        fields = log_fields(
            worker_id=settings.worker_id,
            listen=settings.worker_listen,
            port=worker.listener.port,
            metrics_port=metrics_port,
        )
        _log.info("the worker serves", extra=fields)
        await stop.wait()
        for number in (signal.SIGTERM, signal.SIGINT):
            # From now on it ends the process at once.
            loop.remove_signal_handler(number)
        _log.info("the worker drains", extra=log_fields(drain_seconds=settings.drain_seconds))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
