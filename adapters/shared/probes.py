"""Answers whether a process lives and is ready, beside its metrics, for what may restart it.

The metrics page is served by a thread of its own, which would go on while the event loop hangs:
the loop itself is asked here. Kubernetes asks so (`deploy/chart`).
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError

LIVE, READY = "/live", "/ready"
_SECONDS = 1.0


class Probes:
    """What is asked of the event loop that makes it; `ready` is set once there is something."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float = _SECONDS) -> None:
        """Begin not ready.

        Args:
            loop: The loop that is asked.
            seconds: Time that it has to answer.
        """
        self._loop = loop
        self._seconds = seconds
        self.ready: Callable[[], str] = lambda: "starting"

    @property
    def paths(self) -> Mapping[str, Callable[[], str]]:
        """What answers, by path: the reason why not, or nothing. Called from other threads."""
        return {LIVE: lambda: self._ask(str), READY: lambda: self._ask(self.ready)}

    def _ask(self, question: Callable[[], str]) -> str:
        async def answer() -> str:
            return question()

        coroutine = answer()
        try:
            asked = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:
            coroutine.close()
            return "ended"
        try:
            return asked.result(self._seconds)
        except TimeoutError:
            asked.cancel()
            return "the event loop does not answer"
        except CancelledError:
            return "ended"
