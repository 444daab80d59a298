"""The usage ledger's service for workers: unpacks what they report.

Whoever connects is a worker, as with `snapshots.servicer`. After: `intake`.
"""

import grpc
from modelserving.worker.v1 import usage_service_pb2_grpc
from modelserving.worker.v1.usage_service_pb2 import RecordUsageRequest, RecordUsageResponse

from modelplane.control_plane.errors import StoreUnavailable
from modelplane.control_plane.usage.intake import JOURNAL_ID_BYTES, UsageIntake

_Context = grpc.aio.ServicerContext[RecordUsageRequest, RecordUsageResponse]


class UsageIntakeServicer(usage_service_pb2_grpc.UsageLedgerServiceServicer):
    """Serves `UsageLedgerService` to workers."""

    def __init__(self, intake: UsageIntake) -> None:
        self._intake = intake

    async def RecordUsage(
        self, request: RecordUsageRequest, context: _Context
    ) -> RecordUsageResponse:
        """Store entries."""
        if len(request.journal_id) != JOURNAL_ID_BYTES:
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT, f"A journal id has {JOURNAL_ID_BYTES} bytes."
            )
        try:
            await self._intake.record(request.journal_id, request.entries)
        except StoreUnavailable as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        return RecordUsageResponse()
