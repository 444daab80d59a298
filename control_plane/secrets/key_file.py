"""The file of master keys: one base64 line for each, the current one first.

Only its owner may read it. It is replaced in one step, so readers never see half of it. Before:
`keyring`, `keys`.
"""

import base64
import binascii
import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from modelplane.control_plane.secrets.encryption import KEY_BYTES

_MAX_BYTES = 64 * 1024


class KeyFile:
    """A file of master keys."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def exists(self) -> bool:
        """Tell whether the file is there."""
        return self.path.exists()

    def mark(self) -> object:
        """Return something that differs once the file has changed."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def create(self) -> None:
        """Make the file with one new key unless it is there."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.exists():
            return
        with self._written([os.urandom(KEY_BYTES)]) as new:
            # A link appears with its content, and never replaces what another process has made.
            with contextlib.suppress(FileExistsError):
                os.link(new, self.path)
            new.unlink()

    def read(self) -> list[bytes]:
        """Return the keys.

        Raises:
            PermissionError: Others than the owner may use the file.
            ValueError: The file does not hold keys.
        """
        with self.path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise PermissionError(
                    f"{self.path} can be used by others than its owner; run: chmod 600 {self.path}"
                )
            content = file.read(_MAX_BYTES)
        keys = _parse(content)
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise ValueError(f"{self.path} does not hold keys of {KEY_BYTES} bytes")
        return keys

    def write(self, keys: Sequence[bytes]) -> None:
        """Replace the keys, the current one first."""
        with self._written(keys) as new:
            new.replace(self.path)
            self._sync_directory()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from changing the file until the block ends."""
        with self.path.with_name(f".{self.path.name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def _written(self, keys: Sequence[bytes]) -> Iterator[Path]:
        """Yield a new file beside this one, whose content is on the disk."""
        new = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(b"".join(base64.b64encode(key) + b"\n" for key in keys))
                file.flush()
                os.fsync(file.fileno())
            yield new
        finally:
            new.unlink(missing_ok=True)

    def _sync_directory(self) -> None:
        descriptor = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _parse(content: bytes) -> list[bytes]:
    # The first releases kept one key as it is.
    if len(content) == KEY_BYTES:
        return [content]
    try:
        return [base64.b64decode(line, validate=True) for line in content.split()]
    except binascii.Error:
        return []
