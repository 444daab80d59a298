"""The ends of logs, and the pipes that they come from: bounded, whatever a model prints.

Used by `group.py`, which keeps the logs, and `process.py`, which reads what replicas print.
"""

import asyncio
import os
from collections.abc import Callable

LOG_BYTES = 256 * 1024
_PIECE_BYTES = 64 * 1024
# A model that prints more waits: reading without end would cost the launcher a processor.
_BYTES_PER_SECOND = 1024 * 1024
_LINE_BYTES = 8 * 1024


class Tail:
    """The last bytes of a log.

    Attributes:
        version: Grows with each change.
    """

    def __init__(self, most: int = LOG_BYTES) -> None:
        self.version = 0
        self._most = most
        self._content = bytearray()

    def write(self, content: bytes) -> None:
        """Add to the log, and forget its beginning once it is too long."""
        self.version += 1
        self._content += content
        # Moved rarely, not with each line.
        if len(self._content) > 2 * self._most:
            del self._content[: -self._most]

    def line(self, text: str) -> None:
        """Add a line."""
        self.write(text.encode(errors="replace") + b"\n")

    def text(self) -> str:
        """Return the log: whole lines of UTF-8 without NUL, within the bound."""
        content = bytes(self._content[-self._most :])
        if len(self._content) > self._most:
            content = content.partition(b"\n")[2] or content
        # What is no UTF-8 becomes longer when it is replaced.
        text = content.decode(errors="replace").replace("\0", "\ufffd")
        return text.encode()[-self._most :].decode(errors="ignore")

    def last_lines(self, lines: int, characters: int) -> str:
        """Return the last lines, of which the first may be cut off."""
        return "\n".join(self.text().rstrip().splitlines()[-lines:])[-characters:]


class Printed:
    """Reads what a process prints from a pipe, in whole lines, no faster than a bound.

    Args:
        descriptor: The end of the pipe that is read; closed by this.
        take: Called with one line or several, each with its end.
    """

    def __init__(self, descriptor: int, take: Callable[[bytes], None]) -> None:
        self._descriptor = descriptor
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._unfinished = b""
        self._left = _BYTES_PER_SECOND
        self._since = self._loop.time()
        self._pause: asyncio.TimerHandle | None = None
        self._open = True
        os.set_blocking(descriptor, False)
        self._loop.add_reader(descriptor, self._read)

    def close(self) -> None:
        """Take what is still in the pipe, up to the bound, and read no more."""
        left = _BYTES_PER_SECOND
        while self._open and left > 0 and (count := self._read_piece()):
            left -= count
        self._end()

    def _read(self) -> None:
        now = self._loop.time()
        if now - self._since >= 1:
            self._since, self._left = now, _BYTES_PER_SECOND
        if self._left <= 0:
            self._loop.remove_reader(self._descriptor)
            self._pause = self._loop.call_at(self._since + 1, self._resume)
            return
        count = self._read_piece()
        if count == 0:
            self._end()
        self._left -= count or 0

    def _resume(self) -> None:
        self._pause = None
        self._loop.add_reader(self._descriptor, self._read)

    def _read_piece(self) -> int | None:
        """Take a piece and return its length; 0: the pipe has ended; None: it is empty now."""
        try:
            piece = os.read(self._descriptor, _PIECE_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            return 0
        lines, end, rest = piece.rpartition(b"\n")
        if end:
            self._take(self._unfinished + lines + end)
            self._unfinished = rest
        else:
            self._unfinished += rest
        if len(self._unfinished) > _LINE_BYTES:
            self._take(self._unfinished + b"\n")
            self._unfinished = b""
        return len(piece)

    def _end(self) -> None:
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._descriptor)
        if self._pause is not None:
            self._pause.cancel()
        os.close(self._descriptor)
        if self._unfinished:
            self._take(self._unfinished + b"\n")
