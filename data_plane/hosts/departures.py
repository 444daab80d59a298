"""Notices callers who leave while nothing is sent to them; `asgi_host.py` asks it to.

Sending to a caller who left fails. Between two messages an ASGI server tells of it when it is
asked, and pyvoy then answers at once, whether the caller left or not. So it is asked now and then,
and only about calls in which nothing has been sent for a while: others cost nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

_LOOK_SECONDS = 0.25
_Event = dict[str, Any]


class Progress(Protocol):
    """How far a call has come.

    Attributes:
        sent: Number of messages that the caller got.
        left: Whether the caller is known to be gone.
    """

    sent: int
    left: bool


class Lookout:
    """Looks after all calls of one host."""

    def __init__(self, seconds: float = _LOOK_SECONDS) -> None:
        """Look after nobody yet.

        Args:
            seconds: Time between two looks.
        """
        self._seconds = seconds
        self._calls: set[Watch] = set()
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, receive: Callable[[], Awaitable[_Event]], progress: Progress) -> "Watch":
        """Cancel the current task if its caller leaves; the task must call `forget` at the end."""
        call = Watch(receive, progress)
        self._calls.add(call)
        if self._timer is None:
            self._rest()
        return call

    def forget(self, call: "Watch") -> None:
        """Look after a call no longer."""
        self._calls.discard(call)
        call.stop()

    def _rest(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._look)

    def _look(self) -> None:
        self._timer = None
        for call in self._calls:
            call.look()
        if self._calls:
            self._rest()


class Watch:
    """One call that is looked after."""

    __slots__ = ("_event", "_progress", "_receive", "_seen", "_task")

    def __init__(self, receive: Callable[[], Awaitable[_Event]], progress: Progress) -> None:
        self._receive = receive
        self._progress = progress
        # None until the first look: most calls are over by then.
        self._seen: int | None = None
        self._task = asyncio.current_task()
        self._event: asyncio.Future[_Event] | None = None

    def look(self) -> None:
        """Ask whether the caller is there, unless that is being asked or something was sent."""
        still = self._seen == self._progress.sent
        self._seen = self._progress.sent
        if still and self._event is None:
            self._event = asyncio.ensure_future(self._receive())
            self._event.add_done_callback(self._notice)

    def stop(self) -> None:
        """Ask no longer."""
        if self._event is not None:
            self._event.remove_done_callback(self._notice)
            self._event.cancel()

    def _notice(self, event: "asyncio.Future[_Event]") -> None:
        self._event = None
        if event.cancelled() or event.exception() or event.result()["type"] != "http.disconnect":
            return
        self._progress.left = True
        if self._task:
            self._task.cancel()
