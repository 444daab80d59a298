"""From the journals of workers to one queue for each table, so that none waits for another.

Before: `../payloads/journal.py`. After: `writer.py`. Segments are taken in batches, each with a
number. A batch is written down before it begins, all its queues' files are there before the first
segment is deleted, and it is over before any of them is written to a table: wherever this process
is killed, the next one goes on, and no row is in a queue twice.
"""

import json
import os
import secrets
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from modelplane.data_plane.directories import DeadDirectory, take_over, try_lock
from modelplane.data_plane.payloads.journal import READY
from modelplane.data_plane.payloads.row import PayloadRow, read_rows
from modelplane.data_plane.tables.files import sync_directory, write_durably
from modelplane.data_plane.tables.metrics import WriterMetrics

# Segments that a batch takes: about what a commit holds in memory.
BATCH = 4

_OWN = "tables"
_OWNER_ONLY = 0o600
_ID_BYTES = 8
_KEY_CHARACTERS = 32
_PACKED = b"\x78"
_TEMPORARY = ".tmp"
# Of all room, what may wait for one table with its bodies, and what without.
_FULL_SHARE = 1 / 4
_BARE_SHARE = 3 / 8


class WriterTaken(Exception):
    """Another process writes the tables of this directory."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A file of rows for one table.

    Attributes:
        path: Where it is.
        number: Of its batch; later ones of a table have higher numbers.
    """

    path: Path
    number: int

    def read(self) -> tuple[list[PayloadRow], int]:
        """Return its rows, and how many bytes their frames take.

        Raises:
            OSError: It cannot be read.
        """
        frames = _unpack(self.path.read_bytes())
        return list(read_rows(frames)), len(frames)


@dataclass(slots=True)
class _Queue:
    """What a batch has for one table."""

    packer: "zlib._Compress" = field(default_factory=lambda: zlib.compressobj(1))
    parts: list[bytes] = field(default_factory=list)


class Spool:
    """The queues below the directory of all payload journals.

    Attributes:
        id: Identifier of this directory's writer, for ever.
    """

    def __init__(self, root: Path, metrics: WriterMetrics, max_bytes: int) -> None:
        """Open the queues, and end what a process before has begun.

        Args:
            root: Directory of the payload journals of all workers on this disk.
            metrics: Told of what is dropped.
            max_bytes: Room that all journals and queues may take.

        Raises:
            WriterTaken: Another process has them.
            OSError: They cannot be read or written.
        """
        self._root = root
        self._own = root / _OWN
        self._metrics = metrics
        self._max_bytes = max_bytes
        (self._own / "queues").mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self._own / "lock", os.O_RDWR | os.O_CREAT, _OWNER_ONLY)
        if not try_lock(self._lock):
            os.close(self._lock)
            raise WriterTaken(f"another process writes the payload tables of {root}")
        self._dead: list[DeadDirectory] = []
        try:
            self.id = self._read_id()
            self._number = self._read_number()
            self._recover()
        except BaseException:
            self.close()
            raise

    @property
    def directory(self) -> Path:
        """Where the writer keeps what is its own."""
        return self._own

    def close(self) -> None:
        """Leave the queues to another process."""
        for dead in self._dead:
            dead.release()
        os.close(self._lock)

    def take(self) -> bool:
        """Move a batch of segments to the queues; return whether there was any.

        Raises:
            OSError: One cannot be read, or the disk does not take it.
        """
        while dead := take_over(self._root):
            self._dead.append(dead)
        files = self._segments()[:BATCH]
        if files:
            number = self._number + 1
            names = [str(path.relative_to(self._root)) for path in files]
            manifest = {"number": number, "files": names}
            write_durably(self._manifest, json.dumps(manifest).encode())
            self._carry_out(number, files)
        self._drop_empty()
        return bool(files)

    def queues(self) -> Iterator[list[Pending]]:
        """Yield what waits for each table, the oldest first."""
        for folder in sorted((self._own / "queues").iterdir()):
            files = sorted(path for path in folder.iterdir() if path.suffix == ".z")
            if files:
                yield [Pending(path, int(path.stem)) for path in files]

    def oldest(self) -> float | None:
        """Return since when the oldest row waits, seconds since the epoch; None: none does."""
        waiting = [*self._root.glob(f"*/*{READY}"), *(self._own / "queues").glob("*/*.z")]
        times = []
        for path in waiting:
            try:
                times.append(path.stat().st_mtime)
            except FileNotFoundError:
                continue
        return min(times, default=None)

    @property
    def _manifest(self) -> Path:
        return self._own / "batch"

    def _read_id(self) -> str:
        path = self._own / "id"
        if not path.exists():
            write_durably(path, secrets.token_hex(_ID_BYTES).encode())
        return path.read_text()

    def _read_number(self) -> int:
        path = self._own / "number"
        return int(path.read_text()) if path.exists() else 0

    def _recover(self) -> None:
        """End the batch that a process before has begun."""
        if self._manifest.exists():
            begun = json.loads(self._manifest.read_bytes())
            self._carry_out(begun["number"], [self._root / name for name in begun["files"]])

    def _segments(self) -> list[Path]:
        """Return the segments that may be read, those of dead processes whole."""
        live = self._root.glob(f"*/*{READY}")
        dead = (file for one in self._dead for file in one.files() if file.suffix != _TEMPORARY)
        return sorted({*live, *dead}, key=lambda path: (path.parent, path.name))

    def _carry_out(self, number: int, files: Iterable[Path]) -> None:
        """Do what is written down of a batch, or what is left of it."""
        files = list(files)
        # Once one of them is deleted, all that they hold is in the queues.
        if all(path.exists() for path in files):
            self._split(number, files)
        for path in files:
            path.unlink(missing_ok=True)
        for folder in {path.parent for path in files}:
            if folder.exists():
                sync_directory(folder)
        write_durably(self._own / "number", str(number).encode())
        self._number = number
        self._manifest.unlink()

    def _split(self, number: int, files: Iterable[Path]) -> None:
        queues: dict[str, _Queue] = {}
        waiting: dict[str, int] = {}
        oldest = min(path.stat().st_mtime for path in files)
        for path in files:
            for row in read_rows(_unpack(path.read_bytes())):
                if row.location not in waiting:
                    waiting[row.location] = _size(self._folder(row.location))
                kept = self._fit(row, waiting[row.location])
                if kept is not None:
                    queue = queues.setdefault(row.location, _Queue())
                    queue.parts.append(queue.packer.compress(kept.encode()))
        for location, queue in queues.items():
            folder = self._folder(location)
            folder.mkdir(exist_ok=True)
            path = folder / f"{number:010}.z"
            write_durably(path, b"".join((*queue.parts, queue.packer.flush())))
            os.utime(path, (oldest, oldest))

    def _fit(self, row: PayloadRow, waiting: int) -> PayloadRow | None:
        """Return what of a row there is room for, where `waiting` bytes wait for its table."""
        if waiting <= self._max_bytes * _FULL_SHARE:
            return row
        self._metrics.stripped.inc()
        return row.without_bodies() if waiting <= self._max_bytes * _BARE_SHARE else None

    def _folder(self, location: str) -> Path:
        return self._own / "queues" / sha256(location.encode()).hexdigest()[:_KEY_CHARACTERS]

    def _drop_empty(self) -> None:
        """Delete the directories of dead processes of which nothing is left."""
        for dead in list(self._dead):
            if all(path.suffix == _TEMPORARY for path in dead.files()):
                dead.remove()
                self._dead.remove(dead)


def _unpack(data: bytes) -> bytes:
    """Return the frames in a file; what its process did not finish is as it was written."""
    return zlib.decompress(data) if data[:1] == _PACKED else data


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.z"))
