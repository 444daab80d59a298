"""Lets what takes long be done in steps, between which other calls get their turn."""

import asyncio
from collections.abc import Callable, Iterable
from time import perf_counter

# So long is read before other calls get their turn: what a character takes depends on the text, and
# what a text takes on how many others there are.
TURN_SECONDS = 0.002


async def take_turns(steps: Iterable[int], clock: Callable[[], float] = perf_counter) -> None:
    """Let something be read, step by step.

    Args:
        steps: Its steps.
        clock: Monotonic time, seconds.
    """
    began = clock()
    for _ in steps:
        if clock() - began >= TURN_SECONDS:
            await asyncio.sleep(0)
            began = clock()
