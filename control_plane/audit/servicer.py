"""RPC shell of the audit log: unpack, call `reader`, pack."""

from typing import Any

import grpc
from modelserving.v1 import audit_service_pb2 as pb
from modelserving.v1.audit_service_pb2_grpc import AuditServiceServicer

from modelplane.control_plane.audit.reader import DEFAULT_RESULTS, AuditReader
from modelplane.control_plane.principal import current_principal
from modelplane.control_plane.store.audit import AuditEvent, AuditFilter

_Context = grpc.aio.ServicerContext[Any, Any]


class AuditServicer(AuditServiceServicer):
    """Answers `/api/2.0/audit-events`."""

    def __init__(self, trail: AuditReader) -> None:
        self._trail = trail

    async def ListAuditEvents(
        self, request: pb.ListAuditEventsRequest, context: _Context
    ) -> pb.ListAuditEventsResponse:
        """List events, the newest first."""
        limit = request.max_results if request.HasField("max_results") else DEFAULT_RESULTS
        events, token = await self._trail.list(
            current_principal.get(), _filter(request), limit, request.page_token
        )
        return pb.ListAuditEventsResponse(
            events=map(_message, events), next_page_token=token or None
        )


def _filter(request: pb.ListAuditEventsRequest) -> AuditFilter:
    return AuditFilter(
        start_ms=request.start_time if request.HasField("start_time") else None,
        end_ms=request.end_time if request.HasField("end_time") else None,
        principal=request.principal if request.HasField("principal") else None,
        action=request.action if request.HasField("action") else None,
        object_type=request.object_type if request.HasField("object_type") else None,
        object_name=request.object_name if request.HasField("object_name") else None,
        outcome=request.outcome if request.HasField("outcome") else None,
    )


def _message(event: AuditEvent) -> pb.AuditEvent:
    message = pb.AuditEvent(
        id=str(event.id),
        time=event.time_ms,
        principal_id=event.principal_id,
        principal_name=event.principal_name,
        action=event.action,
        object_type=event.object_type,
        object_name=event.object_name,
        outcome=event.outcome,
        http_status=event.http_status,
        error_code=event.error_code,
        request_id=event.request_id,
        source_address=event.source_address,
        count=event.count,
    )
    message.details.update(event.details)
    return message
