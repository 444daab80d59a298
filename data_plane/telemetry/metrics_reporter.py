"""Tells the control plane what this worker counts for each endpoint.

Before: `meters.py`. The service is that of `control_plane/endpoints/metrics_servicer.py`, on the
port of the watch streams. What a report holds is counted once, however often it has to be sent.
"""

import logging
from collections.abc import Awaitable, Callable
from random import Random
from typing import Protocol

from modelserving.worker.v1.metrics_service_pb2 import ReportMetricsRequest
from modelserving.worker.v1.metrics_service_pb2_grpc import MetricsServiceStub

from modelplane.adapters.shared.rpc.control_link import ControlLink, LinkDown
from modelplane.adapters.shared.telemetry import log_fields
from modelplane.data_plane.telemetry.meters import Meters

_log = logging.getLogger(__name__)
INTERVAL_SECONDS = 5.0
# Of all control planes together.
_CALL_SECONDS = 2.0


class Sink(Protocol):
    """Takes reports."""

    async def report(self, request: ReportMetricsRequest) -> None:
        """Hand over a report.

        Raises:
            LinkDown: Whether it arrived is not known.
        """


class GrpcSink:
    """Hands reports to a control plane."""

    def __init__(self, link: ControlLink) -> None:
        self._link = link

    async def report(self, request: ReportMetricsRequest) -> None:
        """Hand over a report; see `Sink`."""
        await self._link.ask(
            lambda channel, seconds: MetricsServiceStub(channel).ReportMetrics(
                request, timeout=seconds
            ),
            _CALL_SECONDS,
        )


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
        except LinkDown as error:
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
