"""How long a request may take: who waits longer is told so, while the model's thread goes on.

Python cannot end a thread. The slot of a request whose time is over stays taken until the model
comes back, and a server all of whose slots are so taken says that it is not healthy.
"""

from __future__ import annotations

import threading
import time
from typing import Callable

from .http1 import Connection, Gone

_FOREVER = float("inf")
_WRITING_SECONDS = 0.5
# What is told to a caller whose time is over must not keep the others waiting.
LAST_WORDS_SECONDS = 1.0


class Evaluation:
    """One request in the model, and who may write to its connection."""

    def __init__(self, connection: Connection, deadline: float, last_words: bytes) -> None:
        self.deadline = deadline
        # What the caller gets when the time is over.
        self.last_words = last_words
        self.is_over = False
        # Then the connection may be the next request's already.
        self._is_answered = False
        self._connection = connection
        self._writing = threading.Lock()  # held while bytes of this request are sent

    def write(self, send: Callable[[], None], *, is_last: bool = True) -> bool:
        """Let the request's own thread send; false if its time is over."""
        with self._writing:
            if self.is_over:
                return False
            self._is_answered = is_last
            send()
            return True

    def end(self) -> None:
        """Tell the caller that the time is over; later, if its thread is just writing."""
        if not self._writing.acquire(blocking=False):
            self.deadline = time.monotonic() + _WRITING_SECONDS
            return
        try:
            if self._is_answered:
                return
            self.is_over = True
            self._connection.send(self.last_words, LAST_WORDS_SECONDS)
            self._connection.finish()
        except Gone:
            pass
        finally:
            self._writing.release()


class Watch:
    """Ends evaluations whose time is over."""

    def __init__(self) -> None:
        self._changed = threading.Condition()  # guards all below
        self._running: set[Evaluation] = set()
        self._wakes = _FOREVER
        threading.Thread(target=self._run, name="watch", daemon=True).start()

    def add(self, evaluation: Evaluation) -> None:
        """Watch an evaluation that begins."""
        with self._changed:
            self._running.add(evaluation)
            if evaluation.deadline < self._wakes:
                self._changed.notify()

    def remove(self, evaluation: Evaluation) -> None:
        """Watch it no longer: the model has come back."""
        with self._changed:
            self._running.discard(evaluation)

    def overdue(self) -> int:
        """Return how many requests the model has whose time is over."""
        with self._changed:
            return sum(evaluation.is_over for evaluation in self._running)

    def _run(self) -> None:
        while True:
            for evaluation in self._due():
                evaluation.end()

    def _due(self) -> set[Evaluation]:
        with self._changed:
            while True:
                now = time.monotonic()
                waiting = {running for running in self._running if not running.is_over}
                due = {running for running in waiting if running.deadline <= now}
                if due:
                    return due
                self._wakes = min((running.deadline for running in waiting), default=_FOREVER)
                self._changed.wait(None if self._wakes == _FOREVER else self._wakes - now)
