"""Reads the logs of a deployment on this machine as they grow, past the moments when they are cut.

Before: `command`. After: `local.logs`, which moves the front of a log that is long to a file beside
it.
"""

from collections.abc import Iterator
from pathlib import Path

from modelplane.deploy.local.logs import OLDER

_CHUNK_BYTES = 1024 * 1024
# No line of ours is as long; what is longer is no line.
_MAX_LINE_BYTES = 64 * 1024


class Log:
    """One log, and how far it has been read."""

    def __init__(self, path: Path, tail_bytes: int = 0) -> None:
        """Read a log from near its end on.

        Args:
            path: The log.
            tail_bytes: How much of what is there already is read.
        """
        self._path = path
        self._rest = b""
        size = _size(path)
        self._place = max(0, size - tail_bytes)
        # The first line may have begun before.
        self._is_inside = self._place > 0

    def lines(self) -> Iterator[bytes]:
        """Give the whole lines that have come since the last time."""
        size = _size(self._path)
        if size < self._place:
            yield from self._cut()
        yield from self._read(self._path, size)

    def _cut(self) -> Iterator[bytes]:
        """Go on in what was moved aside, up to its end, and then in what is left."""
        older = self._path.with_name(self._path.name + OLDER)
        moved = _size(older)
        yield from self._read(older, moved)
        self._place = max(0, self._place - moved)

    def _read(self, path: Path, end: int) -> Iterator[bytes]:
        try:
            with path.open("rb") as stream:
                stream.seek(self._place)
                while self._place < end:
                    chunk = stream.read(min(end - self._place, _CHUNK_BYTES))
                    if not chunk:
                        return
                    self._place += len(chunk)
                    yield from self._split(chunk)
        except FileNotFoundError:
            # The part has not said anything yet.
            return

    def _split(self, chunk: bytes) -> Iterator[bytes]:
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        for line in whole:
            if not self._is_inside:
                yield line
            self._is_inside = False
        if len(self._rest) > _MAX_LINE_BYTES:
            self._rest, self._is_inside = b"", True


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
