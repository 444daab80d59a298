"""What a launcher does and has done since it started, in plain numbers.

Who does something counts it here; `metrics.py` gives it names.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

DONE, FAILED, CANCELLED = "done", "failed", "cancelled"


class Work:
    """Work of one kind.

    Attributes:
        running: How much of it is under way.
        waiting: How much of it waits for its turn.
        ended: How often it has come to an end, by which one.
        seconds: How long what has ended took, all together.
    """

    def __init__(self) -> None:
        self.running = 0
        self.waiting = 0
        self.ended: Counter[str] = Counter()
        self.seconds = 0.0

    @contextmanager
    def run(self) -> Iterator[None]:
        """Count what is done meanwhile."""
        self.running += 1
        began = time.monotonic()
        result = CANCELLED
        try:
            yield
            result = DONE
        except Exception:
            result = FAILED
            raise
        finally:
            self.running -= 1
            self.ended[result] += 1
            self.seconds += time.monotonic() - began

    @contextmanager
    def wait(self) -> Iterator[None]:
        """Count as waiting what does meanwhile."""
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1

    @asynccontextmanager
    async def turn(self, turns: asyncio.Semaphore) -> AsyncIterator[None]:
        """Wait for a turn, and count what is done in it."""
        with self.wait():
            await turns.acquire()
        try:
            with self.run():
                yield
        finally:
            turns.release()


class Counts:
    """All that is counted.

    Attributes:
        fetches: Files of models that are fetched.
        builds: Environments that are built.
        conversions: Models that are converted.
        starts: Replicas that have become ready, by engine.
        start_seconds: What that took, all together, by engine.
        ends: Processes of replicas that have ended, by engine and how.
        failures: Groups that were given up, by engine.
    """

    def __init__(self) -> None:
        self.fetches = Work()
        self.builds = Work()
        self.conversions = Work()
        self.starts: Counter[str] = Counter()
        self.start_seconds: dict[str, float] = {}
        self.ends: Counter[tuple[str, str]] = Counter()
        self.failures: Counter[str] = Counter()

    def note_start(self, engine: str, milliseconds: int) -> None:
        """Count a replica that has become ready."""
        self.starts[engine] += 1
        before = self.start_seconds.get(engine, 0.0)
        self.start_seconds[engine] = before + milliseconds / 1000
