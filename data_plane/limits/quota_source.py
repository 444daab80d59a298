"""Asks control planes for quota: one call at a time, to whichever answers.

Used by `quota_leases.py`. The service is that of `control_plane/limits/quota_servicer.py`, on the
port of the watch streams.
"""

from typing import Protocol

import grpc
from modelserving.worker.v1.quota_service_pb2 import LeaseQuotaRequest, LeaseQuotaResponse
from modelserving.worker.v1.quota_service_pb2_grpc import QuotaServiceStub

from modelplane.adapters.shared.rpc.control_link import AnswerUnfit, ControlLink

# All control planes together have so long to answer: queries wait for it.
_SECONDS = 2.0


class QuotaSource(Protocol):
    """Leases quota."""

    async def lease(self, request: LeaseQuotaRequest) -> LeaseQuotaResponse:
        """Return what is granted.

        Raises:
            LinkDown: Nobody answered in time; whether anyone has granted anything is not known.
        """


class GrpcQuotaSource:
    """Leases quota from a control plane."""

    def __init__(self, link: ControlLink) -> None:
        self._link = link

    async def lease(self, request: LeaseQuotaRequest) -> LeaseQuotaResponse:
        """Return what is granted; see `QuotaSource`."""
        asked = False

        async def ask(channel: grpc.aio.Channel, seconds: float) -> LeaseQuotaResponse:
            nonlocal asked
            # What was asked for is not granted twice to this worker, only perhaps to nobody.
            question = _without_what_is_sent_once(request) if asked else request
            asked = True
            response = await QuotaServiceStub(channel).LeaseQuota(question, timeout=seconds)
            if len(response.grants) != len(question.demands):
                raise AnswerUnfit("the answer does not fit the question")
            return response

        return await self._link.ask(ask, _SECONDS)


def _without_what_is_sent_once(request: LeaseQuotaRequest) -> LeaseQuotaRequest:
    """Return the request as it may be sent again: what was returned may have arrived."""
    again = LeaseQuotaRequest()
    again.CopyFrom(request)
    for demand in again.demands:
        demand.returned = demand.used = 0
    return again
