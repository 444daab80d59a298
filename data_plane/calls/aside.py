"""Does what no caller waits for: bounded, and brought to its end before a worker stops.

`judging.py` lets judges be asked so whose policies only log; `invocation.py` brings it to its end.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine
from typing import Any

from modelplane.adapters.shared.telemetry import log_fields

_log = logging.getLogger(__name__)
MOST_TASKS = 256
# What is asked about is held until the answer.
MOST_CHARACTERS = 16 << 20


class Aside:
    """What is under way beside the calls of a worker."""

    def __init__(
        self, most_tasks: int = MOST_TASKS, most_characters: int = MOST_CHARACTERS
    ) -> None:
        """Start with nothing.

        Args:
            most_tasks: How much may be under way.
            most_characters: How many characters all of it may hold.
        """
        self._most_tasks = most_tasks
        self._most_characters = most_characters
        self._characters = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._following: set[asyncio.Task[None]] = set()

    def start(
        self, work: Callable[[], Coroutine[Any, Any, None]], characters: int
    ) -> asyncio.Task[None] | None:
        """Start something; return None, and do not, where too much is under way.

        Args:
            work: Does it.
            characters: How many it holds.
        """
        if len(self._tasks) >= self._most_tasks:
            return None
        if self._characters + characters > self._most_characters:
            return None
        self._characters += characters
        task = asyncio.create_task(work())
        self._tasks.add(task)

        def end(ended: asyncio.Task[None]) -> None:
            self._tasks.discard(ended)
            self._characters -= characters
            if not ended.cancelled() and (error := ended.exception()) is not None:
                fields = log_fields(error=type(error).__name__)
                _log.error("what was done beside a call has failed", extra=fields, exc_info=error)

        task.add_done_callback(end)
        return task

    def follow(self, tasks: Collection[asyncio.Task[None]], then: Callable[[], None]) -> None:
        """Do something when tasks have ended, at least one of them, in whatever way."""

        async def wait() -> None:
            await asyncio.wait(tasks)
            then()

        task = asyncio.create_task(wait())
        self._following.add(task)
        task.add_done_callback(self._following.discard)

    async def finish(self, seconds: float) -> None:
        """Bring all of it to its end.

        Args:
            seconds: How long that may take; what has not ended then is broken off.
        """
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds)
            for task in late:
                task.cancel()
        while self._following:
            await asyncio.wait(self._following)
