"""Reading in turns."""

import asyncio
from collections.abc import Iterator

from modelplane.data_plane.calls.taking_turns import take_turns


class Reading:
    """A text whose steps each take some time, however little they read."""

    def __init__(self, seconds: float) -> None:
        self.now = 0.0
        self._seconds = seconds

    def __call__(self) -> float:
        return self.now

    def steps(self, count: int) -> Iterator[int]:
        for _ in range(count):
            self.now += self._seconds
            yield 1


async def turns_beside(seconds: float, steps: int) -> int:
    """Return how many turns others got while so many steps were taken."""
    reading = Reading(seconds)
    taken = asyncio.create_task(take_turns(reading.steps(steps), reading))
    turns = 0
    await asyncio.sleep(0)
    while not taken.done():
        turns += 1
        await asyncio.sleep(0)
    return turns


async def test_others_get_their_turn_whatever_a_step_takes() -> None:
    # Thousands of small texts, and one in which each piece takes long.
    assert await turns_beside(0.00002, 10_000) >= 90
    assert await turns_beside(0.05, 20) >= 19
    # What takes no time is read at once.
    assert await turns_beside(0.0, 10_000) <= 1
