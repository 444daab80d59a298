"""One file of a payload journal while it is written: frames, one after another.

Used by `journal.py`. Its room is reserved beforehand, so that a write cannot fail, however full the
disk; what is written survives the death of the process, since the kernel has it.
"""

import os
from pathlib import Path

_OWNER_ONLY = 0o600


class OpenSegment:
    """A segment that takes frames.

    Attributes:
        path: Its file.
        bare: Whether it is for rows without bodies.
        opened: When it was made, on its journal's clock.
        size: Room, bytes.
        position: Where the next frame goes.
        awaited: How many rows are still to be amended.
        is_closed: Whether nothing is written to it any longer.
    """

    def __init__(self, path: Path, size: int, opened: float, *, bare: bool) -> None:
        """Make the file and reserve its room.

        Raises:
            OSError: There is none.
        """
        self.path = path
        self.bare = bare
        self.opened = opened
        self.size = size
        self.position = 0
        self.awaited = 0
        self.is_closed = False
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
        try:
            os.posix_fallocate(self._descriptor, 0, size)
        except OSError:
            os.close(self._descriptor)
            path.unlink()
            raise

    def takes(self, size: int) -> bool:
        """Tell whether a frame of that many bytes fits in."""
        return self.position + size <= self.size

    def append(self, frame: bytes) -> None:
        """Write a frame that fits in.

        Raises:
            OSError: It cannot be written.
        """
        if os.pwrite(self._descriptor, frame, self.position) != len(frame):
            raise OSError("a row was cut off")
        self.position += len(frame)

    def reserve(self, size: int) -> int:
        """Leave room behind the last frame, in which an amendment fits; return where that is."""
        place = self.position
        self.position += size
        self.awaited += 1
        return place

    def amend(self, place: int, amendment: bytes) -> None:
        """Write an amendment where there is room for it, unless the segment is closed.

        Raises:
            OSError: It cannot be written.
        """
        self.awaited -= 1
        if not self.is_closed:
            os.pwrite(self._descriptor, amendment, place)

    def close(self, path: Path) -> None:
        """Give back the room that is not used, and leave the file as `path`.

        Raises:
            OSError: It cannot be renamed.
        """
        self.is_closed = True
        os.ftruncate(self._descriptor, self.position)
        os.close(self._descriptor)
        self.path.rename(path)
