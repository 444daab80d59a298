"""Composition root of the payload writer: runs until it is told to stop."""

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

from prometheus_client import REGISTRY

from modelplane.adapters.shared.telemetry import configure_logging, log_fields, serve_metrics
from modelplane.data_plane.process import wall_ms
from modelplane.data_plane.tables.maintenance import Maintenance
from modelplane.data_plane.tables.metrics import WriterMetrics
from modelplane.data_plane.tables.settings import WriterSettings, load_settings
from modelplane.data_plane.tables.spool import Spool, WriterTaken
from modelplane.data_plane.tables.writer import PayloadWriter, Tables

_log = logging.getLogger("modelplane.data_plane.tables")
_INTERVAL_SECONDS = 1.0
_MS = 1000.0


def main(argv: Sequence[str]) -> int:
    """Run a payload writer until SIGTERM or SIGINT; return the process's exit code."""
    settings = load_settings(argv)
    configure_logging(settings.log_level)
    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    try:
        run(settings, stop)
    except (ImportError, OSError, ValueError, WriterTaken) as error:
        _log.error("the payload writer cannot start", extra=log_fields(reason=str(error)))
        return 1
    return 0


def run(settings: WriterSettings, stop: threading.Event) -> None:
    """Write until `stop` is set.

    Raises:
        ImportError: The extra is not there.
        WriterTaken: Another process writes what this one should.
        OSError: The directory cannot be used.
        ValueError: A setting is malformed.
    """
    if find_spec("deltalake") is None:
        raise ImportError("payload tables need deltalake: pip install 'modelplane[tables]'")
    metrics = WriterMetrics(REGISTRY)
    spool = Spool(Path(settings.payload_dir), metrics, settings.payload_max_mib << 20)
    host, _, port = settings.writer_metrics_listen.rpartition(":")
    serve_metrics(host, int(port), REGISTRY)
    metrics.lag.set_function(partial(_lag, spool))
    tables = partial(_open, settings.tables_root, spool.id)
    maintenance = Maintenance(spool.directory, wall_ms, settings.payload_retention_days)
    writer = PayloadWriter(spool, tables, time.monotonic, metrics, maintenance)
    _log.info("the payload writer runs", extra=log_fields(root=settings.tables_root))
    try:
        _keep_writing(writer.work, stop)
    finally:
        spool.close()


def _keep_writing(work: Callable[[], None], stop: threading.Event) -> None:
    """Work until told to stop, and once more: what workers left at their own stop is there then."""
    while not stop.wait(_INTERVAL_SECONDS):
        _try(work)
    _try(work)


def _try(work: Callable[[], None]) -> None:
    try:
        work()
    except OSError as error:
        fields = log_fields(reason=str(error))
        _log.error("the payload journals cannot be read or written", extra=fields)


def _open(root: str, writer_id: str) -> Tables:
    from modelplane.data_plane.tables.delta import DeltaTables  # noqa: PLC0415 - takes memory

    return DeltaTables(root, writer_id)


def _lag(spool: Spool) -> float:
    oldest = spool.oldest()
    return 0.0 if oldest is None else max(0.0, wall_ms() / _MS - oldest)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
