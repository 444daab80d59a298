"""How many requests are in the model at a time, and how many wait for their turn, first come first.

A request `enter`s before its body is read, `take`s a slot before the model sees it, gives the slot
back when the model is done with it, and `leave`s at the end.
"""

from __future__ import annotations

import collections
import threading


class Slots:
    """A number of slots, and as many places to wait in."""

    def __init__(self, count: int) -> None:
        self._lock = threading.Lock()  # guards all below; nothing waits while it is held
        self._most = 2 * count
        self._free = count
        self._waiting: collections.deque[threading.Lock] = collections.deque()
        self.inside = 0

    def enter(self) -> bool:
        """Count a request in; false if there is no place."""
        with self._lock:
            if self.inside >= self._most:
                return False
            self.inside += 1
            return True

    def leave(self) -> None:
        """Count a request out."""
        with self._lock:
            self.inside -= 1

    def take(self, seconds: float) -> bool:
        """Wait for a slot, behind those who came before; false when the time is over."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        if turn.acquire(timeout=max(0.0, min(seconds, threading.TIMEOUT_MAX))):
            return True
        with self._lock:
            if turn in self._waiting:
                self._waiting.remove(turn)
                return False
        return True  # its turn came with the end of its time

    def give_back(self) -> None:
        """Give a slot to whoever waits longest."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1
