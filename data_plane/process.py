"""What a worker's process gives it: clocks, chance, files, and turns between its threads.

Used by the composition root, `__main__.py`; who waits, measures or draws lots is given `Clocks`.
"""

import asyncio
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

# Python's own is 5 ms.
_SWITCH_SECONDS = 0.0005


@dataclass(frozen=True, slots=True)
class Clocks:
    """Time and chance.

    Attributes:
        monotonic: Monotonic time, seconds.
        sleep: Waits for seconds.
        random: Source of randomness.
    """

    monotonic: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    random: Random


def new_clocks() -> Clocks:
    """Return the clocks and the chance of this process."""
    return Clocks(time.monotonic, asyncio.sleep, Random())  # noqa: S311 - order and jitter, no secrets


def wall_ms() -> float:
    """Return the wall time, milliseconds since the epoch."""
    return time.time_ns() / 1e6


def cpu_seconds() -> float:
    """Return for how long this thread has had a processor, seconds."""
    return time.thread_time()


def slice_threads() -> None:
    """Let calls wait no longer than half a millisecond for a thread beside them.

    A page of metrics of 1,000 endpoints takes a tenth of a second in its thread, and each time that
    the loop has waited for something it would wait ten times as long to go on.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)


def raise_file_limit() -> None:
    """Allow as many open files as may be: each call under way takes two, most limits are 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
