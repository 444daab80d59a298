"""Keeps the logs of the parts within a size: what is older moves aside, and what is older yet goes.

`supervisor.py` runs it. A part keeps its log open and only appends to it, so its text is copied,
and then cut off at the front, which loses nothing that is written meanwhile. Where the file system
cannot do that (ext4 and XFS can), all is cut off: lines that are written in that moment are lost.
"""

import asyncio
import ctypes
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

MAX_LOG_BYTES = 32 * 1024 * 1024
OLDER = ".1"
_CHUNK_BYTES = 1024 * 1024
# https://man7.org/linux/man-pages/man2/fallocate.2.html, "Collapsing file space"
_FALLOC_FL_COLLAPSE_RANGE = 0x08
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
# A flood of refused requests writes some 15 MB in it.
_CHECK_SECONDS = 1.0


class Logs:
    """The logs in one folder, of which each has at most one older part beside it."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        """Keep logs.

        Args:
            folder: Where they are.
            say: Tells the user once when older parts cannot be kept.
        """
        self._folder = folder
        self._say = say
        self._told = False

    async def run(self) -> None:
        """Keep them within their size until cancelled."""
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            await asyncio.to_thread(self.check)

    def check(self) -> None:
        """Move the text of each log that has become too long aside; never raises for the disk."""
        try:
            for log in self._folder.glob("*.log"):
                if log.stat().st_size > MAX_LOG_BYTES:
                    self._rotate(log)
        except OSError as error:
            self._tell(f"cannot keep the logs in {self._folder} short: {error.strerror}")

    def _rotate(self, log: Path) -> None:
        older = log.with_name(log.name + OLDER)
        with log.open("r+b") as stream:
            try:
                with older.open("wb") as copy:
                    front = _front_bytes(stream)
                    copy_bytes(stream, copy, front)
                    copy.flush()
                    if front and cut_front(stream, front):
                        return
                    copy_bytes(stream, copy, sys.maxsize)
            except OSError as error:
                # To cut the log off is what gives the room back.
                older.unlink(missing_ok=True)
                self._tell(f"cannot keep what {log} held: {error.strerror}")
            stream.truncate(0)

    def _tell(self, line: str) -> None:
        if not self._told:
            self._told = True
            self._say(line)


def _front_bytes(stream: BinaryIO) -> int:
    """Return how much can be cut off at the front: whole blocks, and never all."""
    found = os.fstat(stream.fileno())
    return max(0, found.st_size - 1) // found.st_blksize * found.st_blksize


def copy_bytes(source: BinaryIO, target: BinaryIO, count: int) -> None:
    """Copy `count` bytes, or as many as there are."""
    while count and (chunk := source.read(min(count, _CHUNK_BYTES))):
        target.write(chunk)
        count -= len(chunk)


def cut_front(stream: BinaryIO, count: int) -> bool:
    """Take whole blocks out of a file's front; return False where that cannot be done."""
    if _LIBC is None:
        return False
    front = (ctypes.c_int64(0), ctypes.c_int64(count))
    return not _LIBC.fallocate64(stream.fileno(), _FALLOC_FL_COLLAPSE_RANGE, *front)
