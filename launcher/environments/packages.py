"""The packages that builds have fetched, kept for the next build while there is room.

uv links them into environments, so that dropping them takes nothing from these. All are dropped at
once, and what is still wanted is fetched again: uv's own way drops only what it will never use.
"""

import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

_NAME = "packages"
_DROPPED = "packages.dropped-"
_BLOCK = 512


class Packages:
    """The packages of all builds of a machine.

    Args:
        folder: Where they lie, in a folder of their own.
        most: Bytes that they may take after a build.
    """

    def __init__(self, folder: Path, most: int) -> None:
        self.place = folder / _NAME
        self._most = most

    @contextlib.contextmanager
    def used(self) -> Iterator[Path]:
        """Keep them while a build uses them; yield their folder."""
        lock = self._open_lock()
        try:
            fcntl.flock(lock, fcntl.LOCK_SH)
            self.place.mkdir(exist_ok=True)
            yield self.place
        finally:
            os.close(lock)

    def drop_excess(self) -> bool:
        """Drop them where they take too much and no build uses them; tell whether they were."""
        if bytes_below(self.place) <= self._most:
            return False
        lock = self._open_lock()
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # In one step: half of them would be taken for all.
            self.place.rename(self.place.with_name(f"{_DROPPED}{secrets.token_hex(4)}"))
        except BlockingIOError:
            # The build that ends last looks again.
            return False
        finally:
            os.close(lock)
        for gone in self.place.parent.glob(f"{_DROPPED}*"):
            shutil.rmtree(gone, ignore_errors=True)
        return True

    def _open_lock(self) -> int:
        path = self.place.with_name(f"{_NAME}.lock")
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


def bytes_below(folder: Path) -> int:
    """Return what a folder takes on the disk, files that are linked elsewhere too included."""
    total = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_blocks * _BLOCK  # noqa: PTH118 - thousands
    return total
