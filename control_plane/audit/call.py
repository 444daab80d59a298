"""One RPC as the audit log sees it.

Before: `interceptor`. After: `event`, which builds the event, and `log`, which stores it.
"""

from collections.abc import Mapping
from dataclasses import replace

from google.protobuf.message import Message

from modelplane.adapters.shared.rpc.status import Status
from modelplane.control_plane.audit.event import build_event, find_method, is_change
from modelplane.control_plane.audit.log import AuditLog, Change
from modelplane.control_plane.principal import Principal
from modelplane.control_plane.store.audit import AuditEvent
from modelplane.control_plane.store.database import current_companion

_DENIED = (401, 403)


class AuditedCall:
    """Has the event of an RPC stored: with its change, or as a refusal."""

    def __init__(
        self, log: AuditLog, path: str, metadata: Mapping[str, str], request_id: str
    ) -> None:
        """Begin with a caller that is not known.

        Args:
            log: Stores the events.
            path: The RPC, as `/package.Service/Method`.
            metadata: Metadata of the call.
            request_id: Identifier of the call.
        """
        self._log = log
        self._method = find_method(path)
        self._metadata = metadata
        self._request_id = request_id
        self._principal: Principal | None = None
        self._request: Message | None = None
        self._is_change = self._method is not None and is_change(self._method)

    def know(self, principal: Principal, request: Message | None) -> None:
        """Note who calls, and the request as far as it is read."""
        self._principal, self._request = principal, request

    def admit(self) -> None:
        """Begin: from here on, what the RPC changes is stored with its event."""
        if self._is_change and (event := self._event()):
            current_companion.set(Change(event))

    def refuse(self, status: Status) -> None:
        """Note that the RPC was refused, or failed."""
        if (self._is_change or status.http in _DENIED) and (event := self._event()):
            # Not a part of what the failed call would have committed.
            current_companion.set(None)
            code = status.code.name
            self._log.refuse(
                replace(event, outcome=code, http_status=status.http, error_code=status.error_code)
            )
        # What is refused is kept by gRPC for a while, and this by that.
        self._request = None

    def _event(self) -> AuditEvent | None:
        if self._method is None:
            return None
        return build_event(
            self._method,
            self._request,
            self._principal,
            self._metadata,
            self._request_id,
            self._log.now_ms(),
        )
