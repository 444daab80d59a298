"""Asks control planes for quota: one call at a time, to whichever answers.

Used by `quota_leases.py`. The service is that of `control_plane/limits/quota_servicer.py`, on the
port of the watch streams.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import grpc
from modelserving.worker.v1.quota_service_pb2 import LeaseQuotaRequest, LeaseQuotaResponse
from modelserving.worker.v1.quota_service_pb2_grpc import QuotaServiceStub

from modelplane.adapters.shared.rpc.tls import TlsFiles, open_channel
from modelplane.data_plane.snapshots.watcher import CHANNEL_OPTIONS

if TYPE_CHECKING:
    from modelserving.worker.v1.quota_service_pb2_grpc import QuotaServiceAsyncStub

# All control planes together have so long to answer: queries wait for it.
_SECONDS = 2.0


class LeaseFailed(Exception):
    """No control plane answered; whether one has granted anything is not known."""


class QuotaSource(Protocol):
    """Leases quota."""

    async def lease(self, request: LeaseQuotaRequest) -> LeaseQuotaResponse:
        """Return what is granted.

        Raises:
            LeaseFailed: Nobody answered in time.
        """

    async def aclose(self) -> None:
        """Close what is open."""


class GrpcQuotaSource:
    """Leases quota from the first control plane that answers, and stays with it."""

    def __init__(self, targets: Sequence[str], tls: TlsFiles | None) -> None:
        """Ask `targets`.

        Args:
            targets: gRPC targets of control planes.
            tls: Files that identify the worker; None for plaintext.
        """
        self._targets = list(targets)
        self._tls = tls
        self._channel: grpc.aio.Channel | None = None
        self._stub: QuotaServiceAsyncStub | None = None

    async def lease(self, request: LeaseQuotaRequest) -> LeaseQuotaResponse:
        """Return what is granted; see `QuotaSource`."""
        reason = ""
        for _ in range(len(self._targets)):
            try:
                response = await self._call(request)
                if len(response.grants) == len(request.demands):
                    return response
                reason = "the answer does not fit the question"
            except grpc.aio.AioRpcError as error:
                reason = f"{error.code().name}: {error.details()}"
            except OSError as error:
                reason = str(error)
            # What was asked for is not granted twice to this worker, only perhaps to nobody.
            request = _without_returns(request)
            await self.aclose()
            self._targets.append(self._targets.pop(0))
        raise LeaseFailed(reason)

    async def aclose(self) -> None:
        """Close the channel; the next call opens one anew, with the files as they are then."""
        channel, self._channel, self._stub = self._channel, None, None
        if channel is not None:
            await channel.close()

    async def _call(self, request: LeaseQuotaRequest) -> LeaseQuotaResponse:
        if self._stub is None:
            self._channel = open_channel(self._targets[0], self._tls, CHANNEL_OPTIONS)
            self._stub = QuotaServiceStub(self._channel)
        return await self._stub.LeaseQuota(request, timeout=_SECONDS / len(self._targets))


def _without_returns(request: LeaseQuotaRequest) -> LeaseQuotaRequest:
    """Return the request as it may be sent again: what was returned may have arrived."""
    again = LeaseQuotaRequest()
    again.CopyFrom(request)
    for demand in again.demands:
        demand.returned = 0
    return again
