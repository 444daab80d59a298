"""Time as an argument: whatever needs the time takes a `Clock`."""

import time
from collections.abc import Callable

# Returns milliseconds since the epoch.
Clock = Callable[[], int]


def system_clock() -> int:
    """Return the machine's time, milliseconds since the epoch."""
    return time.time_ns() // 1_000_000
