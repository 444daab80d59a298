"""When the model was asked last, kept where the launcher finds it once this process has died.

A process that a request has ended is started again, whatever the number; one that dies by itself is
given up. Nothing but a file outlives the process, and a file in memory costs no call to write.
"""

from __future__ import annotations

import mmap
import struct
import time

# By the clock that all processes of the machine share, and how many requests are in the model.
_RECORD = struct.Struct("<dI")


class LastAsked:
    """What is noted.

    Args:
        path: The file; empty: nobody wants to know.
    """

    def __init__(self, path: str) -> None:
        self._place: mmap.mmap | bytearray = bytearray(_RECORD.size)
        if path:
            with open(path, "wb+") as file:
                file.truncate(_RECORD.size)
                self._place = mmap.mmap(file.fileno(), _RECORD.size)

    def note(self, inside: int) -> None:
        """Note that a request came or went, and how many are there now."""
        _RECORD.pack_into(self._place, 0, time.monotonic(), inside)
