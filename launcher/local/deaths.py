"""What the deaths of a group's replicas mean: when the next one is started, and when none is.

A request that ends the process which answers it must not take the model from everybody else: such
a death only delays the next start. A process that ends by itself, or is never ready, has three
tries. Used by `group.py`; the clock is an argument.
"""

import os
import struct
import time
from collections import deque
from pathlib import Path

_HOPELESS = 3
_WITHIN_SECONDS = 60.0
_FIRST_DELAY_SECONDS = 0.1
_LONGEST_DELAY_SECONDS = 10.0
# A replica that lived this long did not die of what killed the one before it.
_STEADY_SECONDS = 60.0
# What a request has left behind, such as memory, may end the process a little later.
_AFTER_SECONDS = 5.0
# As `../model_server/last_asked.py` writes it.
_ASKED = struct.Struct("<dI")


class Deaths:
    """The deaths of one group's replicas.

    Attributes:
        not_before: Time before which no replica is started.
    """

    def __init__(self) -> None:
        self.not_before = 0.0
        # Of those that no request has to answer for: without one in between that became ready.
        self._in_a_row = 0
        self._own: deque[float] = deque(maxlen=_HOPELESS)
        self._delayed = 0

    def forget(self) -> None:
        """Begin anew."""
        self.not_before = 0.0
        self._in_a_row = self._delayed = 0
        self._own.clear()

    def note_ready(self) -> None:
        """Note that a replica has become ready."""
        self._in_a_row = 0

    def note(self, now: float, lived: float, *, was_asked: bool) -> None:
        """Note a death.

        Args:
            now: When.
            lived: Seconds since the replica's start.
            was_asked: Whether it was answering a request, or had just done so.
        """
        if lived > _STEADY_SECONDS:
            self._in_a_row = self._delayed = 0
        self._delayed += 1
        delay = _FIRST_DELAY_SECONDS * 2 ** (min(self._delayed, 10) - 1)
        self.not_before = now + min(delay, _LONGEST_DELAY_SECONDS)
        if not was_asked:
            self._in_a_row += 1
            self._own.append(now)

    def are_hopeless(self, now: float) -> bool:
        """Tell whether the next replica would die, too."""
        often = len(self._own) == _HOPELESS and now - self._own[0] < _WITHIN_SECONDS
        return often or self._in_a_row >= _HOPELESS


def read_asked(file: Path) -> bool:
    """Return whether a replica that has just died was being asked, by what it has left."""
    try:
        # The model may have put anything in its place.
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            at, inside = _ASKED.unpack(os.read(descriptor, _ASKED.size))
        finally:
            os.close(descriptor)
    except (OSError, struct.error):
        return False
    return bool(inside) or bool(time.monotonic() - at < _AFTER_SECONDS)
