"""The time that a report is asked of.

Before: `audit.reader`, `traffic.series`, `usage.reader`.
"""

from modelplane.control_plane.errors import InvalidParameter

# Year 5138, which no clock shows.
_LAST_MS = 1e14


def check_time_span(start_ms: float | None, end_ms: float | None) -> None:
    """Check from when until when something is asked for; None: it is not bounded.

    Raises:
        InvalidParameter: One is no time, such as NaN, or nothing is between them.
    """
    for name, value in (("start_time", start_ms), ("end_time", end_ms)):
        if value is not None and not 0 <= value < _LAST_MS:
            raise InvalidParameter(f"{name}: must be milliseconds since the epoch.")
    if start_ms is not None and end_ms is not None and start_ms >= end_ms:
        raise InvalidParameter("start_time: must be before end_time.")
