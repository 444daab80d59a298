"""Tells the control plane what this worker counts for each endpoint.

Before: `meters.py`. The service is that of `control_plane/endpoints/metrics_servicer.py`, on the
port of the watch streams. What a report holds is counted once, however often it has to be sent.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Protocol

import grpc
from modelserving.worker.v1.metrics_service_pb2 import ReportMetricsRequest
from modelserving.worker.v1.metrics_service_pb2_grpc import MetricsServiceStub

from modelplane.adapters.shared.rpc.tls import TlsFiles, open_channel
from modelplane.adapters.shared.telemetry import log_fields
from modelplane.data_plane.snapshots.watcher import CHANNEL_OPTIONS
from modelplane.data_plane.telemetry.meters import Meters

_log = logging.getLogger(__name__)
INTERVAL_SECONDS = 5.0
_CALL_SECONDS = 2.0


class ReportFailed(Exception):
    """No control plane took the report, or its answer was lost."""


class Sink(Protocol):
    """Takes reports."""

    async def report(self, request: ReportMetricsRequest) -> None:
        """Hand over a report.

        Raises:
            ReportFailed: Whether it arrived is not known.
        """


class GrpcSink:
    """Hands reports to the first control plane that answers."""

    def __init__(self, targets: Sequence[str], tls: TlsFiles | None) -> None:
        """Report to `targets`.

        Args:
            targets: gRPC targets of control planes.
            tls: Files that identify the worker; None for plaintext.
        """
        self._targets = list(targets)
        self._tls = tls

    async def report(self, request: ReportMetricsRequest) -> None:
        """Hand over a report; see `Sink`."""
        reason = ""
        for _ in range(len(self._targets)):
            try:
                await self._call(request)
            except grpc.aio.AioRpcError as error:
                reason = f"{error.code().name}: {error.details()}"
            except OSError as error:
                reason = str(error)
            else:
                return
            self._targets.append(self._targets.pop(0))
        raise ReportFailed(reason)

    async def _call(self, request: ReportMetricsRequest) -> None:
        # A channel for each report: one that is kept would have to be watched for new files.
        async with open_channel(self._targets[0], self._tls, CHANNEL_OPTIONS) as channel:
            timeout = _CALL_SECONDS / len(self._targets)
            await MetricsServiceStub(channel).ReportMetrics(request, timeout=timeout)


class MetricsReporter:
    """Sends what `Meters` counts, from time to time and at the end."""

    def __init__(
        self,
        meters: Meters,
        sink: Sink,
        random: Random,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        """Report what `meters` counts.

        Args:
            meters: Counts calls.
            sink: Takes the reports.
            random: Source of the identifier of this process.
            sleep: Waits for seconds.
        """
        self._meters = meters
        self._sink = sink
        self._sleep = sleep
        self._reporter_id = f"{random.getrandbits(64):016x}"
        self._sequence = 0
        # A report that may have to be sent again.
        self._pending: ReportMetricsRequest | None = None
        self._failing = False

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            await self._sleep(INTERVAL_SECONDS)
            await self.report()

    async def report(self) -> None:
        """Send what was not sent yet; what cannot be sent is kept for the next time."""
        try:
            await self._send()
            if self._prepare():
                await self._send()
        except ReportFailed as error:
            if not self._failing:
                _log.warning("metrics cannot be reported", extra=log_fields(reason=str(error)))
            self._failing = True
        else:
            self._failing = False

    def _prepare(self) -> bool:
        """Make a report of what was counted; return False when there was nothing."""
        counts = self._meters.take()
        if not counts:
            return False
        self._sequence += 1
        self._pending = ReportMetricsRequest(
            reporter_id=self._reporter_id, sequence=self._sequence, endpoints=counts
        )
        return True

    async def _send(self) -> None:
        if self._pending is not None:
            await self._sink.report(self._pending)
            self._pending = None
