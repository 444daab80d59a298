"""Callers who may be what ends a model's processes, whatever they send each time.

`suspects.py` refuses a request that has ended two processes; who changes it each time would still
take the model from everybody else. A process that ends has requests of several callers in it, and
the busiest of the innocent are in most of them: so those in question are let in by halves, drawn
anew every few seconds. The cause is in every process that ends; an innocent one in half of them.
Used by `group.py`; the clock is an argument.
"""

import hashlib
from collections import OrderedDict
from math import ceil, inf

# Ended processes after which a caller is let in half of the time, and after which not at all.
SUSPECTED = 3
FOUND = 8
_SECONDS = 300.0
_DRAWN_SECONDS = 5.0
# Within this time after a process has ended, all requests that were in it are noted.
_NOTED_SECONDS = 1.0
MOST = 64


class SuspectCallers:
    """Those of one group; empty, and then nothing is looked at, unless a process ended."""

    __slots__ = ("_before", "_cleared_at", "_found", "_latest")

    def __init__(self) -> None:
        # How many processes have ended, the last of them, and until when that counts, by caller.
        self._found: OrderedDict[str, tuple[int, str, float]] = OrderedDict()
        # The last two who called, and when.
        self._latest = self._before = ("", -_SECONDS)
        # When the others are no suspects any more, since somebody was found.
        self._cleared_at = inf

    def note_lost(self, caller: str, replica: str, now: float) -> None:
        """Note that a process has ended with a request of a caller in it.

        Args:
            caller: Identifier.
            replica: Identifier of the process: several requests of the caller may have been in it.
            now: When.
        """
        count, last, until = self._found.pop(caller, (0, "", 0.0))
        count = count if until > now else 0
        count += last != replica or not count
        if count == FOUND:
            self._cleared_at = now + _NOTED_SECONDS
        self._found[caller] = (count, replica, now + _SECONDS)
        if len(self._found) > MOST:
            self._found.popitem(last=False)

    def held(self, caller: str, now: float) -> int:
        """Return for how many seconds a caller is refused; 0: not at all.

        Who is alone with a model harms nobody, and is never refused.
        """
        if not self._found:
            return 0
        if now >= self._cleared_at:
            self._clear()
        if self._latest[0] != caller:
            self._before = self._latest
        self._latest = (caller, now)
        count, _, until = self._found.get(caller, (0, "", 0.0))
        if count < SUSPECTED or until <= now or self._before[1] <= now - _SECONDS:
            return 0
        if count >= FOUND:
            return ceil(until - now)
        turn, passed = divmod(now, _DRAWN_SECONDS)
        return 0 if _is_drawn(caller, int(turn)) else ceil(_DRAWN_SECONDS - passed)

    def _clear(self) -> None:
        """Forget those who were only there with the one who was found."""
        self._cleared_at = inf
        self._found = OrderedDict(item for item in self._found.items() if item[1][0] >= FOUND)


def _is_drawn(caller: str, turn: int) -> bool:
    """Tell whether a caller belongs to the half that is let in: by chance, alike for a turn."""
    return bool(hashlib.blake2b(f"{turn} {caller}".encode(), digest_size=1).digest()[0] & 1)
