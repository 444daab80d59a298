"""Ends what takes too long: many deadlines over one timer of the event loop.

Used by `relay.py`. `asyncio.timeout` asks the loop for a timer of its own for each call, and for
another one whenever it is moved, as for each chunk of a stream. Here a deadline is an entry in a
set, and the loop is asked to wake when the earliest of them may have come.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from math import inf
from types import TracebackType
from typing import Self


class Deadlines:
    """The deadlines of one event loop."""

    __slots__ = ("_loop", "_running", "_timer", "_wakes_at", "current_task")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        current_task: "Callable[[], asyncio.Task[object] | None] | None" = None,
    ) -> None:
        """Start with none.

        Args:
            loop: Its clock is meant, and its timers are used.
            current_task: Returns the task that runs now; None: the loop's.
        """
        self._loop = loop
        # Without its loop, Python would ask the kernel for the process's id each time.
        self.current_task = current_task or partial(asyncio.current_task, loop)
        self._running: set[Deadline] = set()
        self._timer: asyncio.TimerHandle | None = None
        # Not after the earliest deadline; before it, where that one was met or moved on.
        self._wakes_at = inf

    def within(self, seconds: float) -> "Deadline":
        """Return a deadline for the body of a `with` statement in the current task.

        Args:
            seconds: Time from now; `inf` for none yet.
        """
        return Deadline(self, self._loop.time() + seconds)

    def add(self, deadline: "Deadline") -> None:
        """Look after a deadline."""
        self._running.add(deadline)
        self.wake_at(deadline.when)

    def discard(self, deadline: "Deadline") -> None:
        """Look after a deadline no longer."""
        self._running.discard(deadline)

    def wake_at(self, when: float) -> None:
        """See to it that the deadlines are looked at no later than `when`."""
        if when >= self._wakes_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._wakes_at = when
        self._timer = self._loop.call_at(when, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._wakes_at = inf
        now = self._loop.time()
        earliest = inf
        for deadline in list(self._running):
            if deadline.when <= now:
                deadline.expire()
            elif deadline.when < earliest:
                earliest = deadline.when
        self.wake_at(earliest)


class Deadline:
    """Cancels what runs in its context when it passes, and makes a `TimeoutError` of that.

    Attributes:
        when: When it passes, on the clock of the loop.
    """

    __slots__ = ("_cancelling", "_deadlines", "_expired", "_task", "when")

    def __init__(self, deadlines: Deadlines, when: float) -> None:
        self._deadlines = deadlines
        self.when = when
        self._expired = False
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0

    def move(self, when: float) -> None:
        """Set another time; `inf` for none."""
        if when < self.when:
            self._deadlines.wake_at(when)
        self.when = when

    def expire(self) -> None:
        """Cancel the task: the time has come."""
        self._expired = True
        self._deadlines.discard(self)
        if self._task is not None:
            self._task.cancel()

    def __enter__(self) -> Self:
        """Start to look after the current task."""
        self._task = task = self._deadlines.current_task()
        # Others may be cancelling the task too; theirs is not this deadline's to take back.
        self._cancelling = task.cancelling() if task is not None else 0
        self._deadlines.add(self)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop looking.

        Raises:
            TimeoutError: The time came before the body ended.
        """
        task, self._task = self._task, None
        if not self._expired:
            self._deadlines.discard(self)
            return
        if task is None or task.uncancel() > self._cancelling:
            return
        if exc_type is asyncio.CancelledError:
            raise TimeoutError from exc
