"""Reads the audit log for administrators.

Before: `servicer`. After: `store.audit`. What writes it is `log`.
"""

from dataclasses import replace

import grpc

from modelplane.control_plane.access import require_admin
from modelplane.control_plane.errors import InvalidParameter
from modelplane.control_plane.principal import Principal
from modelplane.control_plane.store.audit import REFUSED, AuditEvent, AuditFilter, list_events
from modelplane.control_plane.store.database import Database, is_storable
from modelplane.control_plane.time_span import check_time_span

MAX_RESULTS = 1000
DEFAULT_RESULTS = 100
_OUTCOMES = (REFUSED, *(code.name for code in grpc.StatusCode))
# Of an id: so many have room in a column.
_MAX_DIGITS = 18


class AuditReader:
    """The audit log as it can be read."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(
        self, principal: Principal, selected: AuditFilter, limit: int, page_token: str
    ) -> tuple[list[AuditEvent], str]:
        """Return the newest events that a filter selects, and the token of the next page.

        Args:
            principal: Who asks.
            selected: Which events.
            limit: Most events to return.
            page_token: Token of the page; empty for the first.

        Raises:
            PermissionDenied: The principal is no administrator.
            InvalidParameter: The limit, the token or a filter is none.
        """
        require_admin(principal)
        if not 1 <= limit <= MAX_RESULTS:
            raise InvalidParameter(f"'max_results' must be from 1 to {MAX_RESULTS}.")
        check_time_span(selected.start_ms, selected.end_ms)
        if selected.outcome and selected.outcome not in _OUTCOMES:
            raise InvalidParameter(f"'outcome' must be one of {', '.join(_OUTCOMES)}.")
        texts = (selected.principal, selected.action, selected.object_type, selected.object_name)
        if not all(is_storable(text or "") for text in texts):
            raise InvalidParameter("Filters must not hold the NUL character.")
        page = replace(selected, before_id=_parse(page_token))
        async with self._database.report() as session:
            events = await list_events(session, page, limit + 1)
        more = len(events) > limit
        return events[:limit], str(events[limit - 1].id) if more else ""


def _parse(page_token: str) -> int:
    if not page_token:
        return 0
    if page_token.isascii() and page_token.isdecimal() and len(page_token) <= _MAX_DIGITS:
        return int(page_token)
    raise InvalidParameter("'page_token' must be the 'next_page_token' of another page.")
