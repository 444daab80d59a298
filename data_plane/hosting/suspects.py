"""Requests that may be what ends a model's processes: each was in one when it ended, and again.

Clients send a request again after a 502, some seven times: where it is the request that ends the
process, the model would be gone for everybody for as long. A request that was never answered while
two processes ended in it is refused for a while. Used by `group.py`; the clock is an argument.
"""

import hashlib
from collections import OrderedDict

_ENOUGH = 2
_SECONDS = 300.0
MOST = 64
_DIGEST_BYTES = 16


class Suspects:
    """The suspects of one group; empty, and then nothing is looked at, unless a process ended."""

    __slots__ = ("_found",)

    def __init__(self) -> None:
        # How many processes have ended, the last of them, and until when that counts, by the digest
        # of a body.
        self._found: OrderedDict[bytes, tuple[int, str, float]] = OrderedDict()

    def note_lost(self, body: bytes, replica: str, now: float) -> None:
        """Note that a process has ended with a request in it.

        Args:
            body: The request's.
            replica: Identifier of the process: several that are alike may have been in it.
            now: When.
        """
        digest = _digest(body)
        count, last, until = self._found.pop(digest, (0, "", 0.0))
        count = count if until > now else 0
        self._found[digest] = (count + (last != replica or not count), replica, now + _SECONDS)
        if len(self._found) > MOST:
            self._found.popitem(last=False)

    def note_answered(self, body: bytes) -> None:
        """Note that a request was answered: it ends nothing."""
        if self._found:
            self._found.pop(_digest(body), None)

    def has(self, body: bytes, now: float) -> bool:
        """Tell whether a request is to be refused."""
        if not self._found:
            return False
        count, _, until = self._found.get(_digest(body), (0, "", 0.0))
        return count >= _ENOUGH and until > now


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_DIGEST_BYTES).digest()
