"""How a call that failed is refused, settled once: `errors.py` has the table.

`invocation.py` settles what it tells the caller more of, a host (`hosts/`) all else.
"""

import logging
import traceback
from dataclasses import replace

from modelplane.adapters.shared.rpc.metadata import Metadata
from modelplane.adapters.shared.telemetry import log_fields
from modelplane.data_plane.errors import STATUS_TABLE, Refusal, refusal_of

_log = logging.getLogger(__name__)


class Refused(Exception):
    """A call is refused in a way that is settled already."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.status.error_code)
        self.refusal = refusal


def settle(error: Exception, request_id: str, metadata: Metadata = ()) -> Refusal:
    """Return how a call that failed is refused; a bug is logged, without its text.

    Args:
        error: What failed.
        request_id: Identifies the call.
        metadata: What the caller is told beside the error.
    """
    if isinstance(error, Refused):
        return error.refusal
    if STATUS_TABLE.status_of(error) is None:
        # The error's own text stays out: it may repeat the prompt.
        stack = "".join(traceback.format_tb(error.__traceback__))
        fields = log_fields(request_id=request_id, error=type(error).__name__, stack=stack)
        _log.error("a call failed", extra=fields)
    refusal = refusal_of(error, request_id)
    return replace(refusal, metadata=metadata) if metadata else refusal
