"""Time and waiting: what needs the time takes a `Clock`; what waits says for how long."""

import asyncio
import time
from collections.abc import Callable

# Returns milliseconds since the epoch.
Clock = Callable[[], int]


def system_clock() -> int:
    """Return the machine's time, milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def steady_clock() -> int:
    """Return milliseconds since some time, to measure what takes how long: nobody can set it."""
    return time.monotonic_ns() // 1_000_000


class Signal:
    """Wakes all who wait at the time, and only those."""

    def __init__(self) -> None:
        # Replaced at each signal; whoever waits holds the one that will be set.
        self.event = asyncio.Event()

    def send(self) -> None:
        """Wake them."""
        self.event.set()
        self.event = asyncio.Event()


async def wait_for(event: asyncio.Event, seconds: float | None) -> bool:
    """Wait until `event` is set; return False when it was not within `seconds` (None: ever)."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
