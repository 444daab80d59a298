"""The worker's journal of payloads: rows on their way to tables, written without waiting.

Before: `log.py`. A row is in the kernel's hands before its call is answered; a segment is sealed
when it is full or old, then compressed by a thread and ready for the writer (`../tables/`), which
deletes it. Each process has a directory of its own, which it locks (`../directories.py`). Where
there is no room, rows lose their bodies first; a call never waits and never fails for it.
"""

import asyncio
import logging
import os
import secrets
import zlib
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path

from modelplane.adapters.shared.telemetry import log_fields
from modelplane.data_plane.directories import ID_BYTES, make_locked, remove
from modelplane.data_plane.payloads.metrics import PayloadMetrics
from modelplane.data_plane.payloads.row import PayloadRow
from modelplane.data_plane.payloads.segment import OpenSegment

_log = logging.getLogger(__name__)
SEGMENT_BYTES = 16 << 20
SEAL_SECONDS = 30.0
# What a segment's name ends with: while rows are written to it, until it is compressed, and once it
# may be read. Where the disk is full, it is not compressed.
OPEN, SEALED, READY = ".open", ".sealed", ".ready"

# For rows without bodies: a row has some hundred bytes.
_BARE_BYTES = 1 << 20
# Of all room, what only they may use.
_BARE_SHARE = 1 / 8
_INTERVAL_SECONDS = 1.0
# After a failure, a new segment is not tried for sooner.
_RETRY_SECONDS = 1.0
_LEVEL = 1


class PayloadJournal:
    """The payload journal of this process."""

    def __init__(
        self,
        root: Path,
        metrics: PayloadMetrics,
        clock: Callable[[], float],
        *,
        max_bytes: int,
        segment_bytes: int = SEGMENT_BYTES,
        seal_seconds: float = SEAL_SECONDS,
    ) -> None:
        """Keep rows below `root`, in a directory that is made for the first of them.

        Args:
            root: Directory of the payload journals of all workers on this disk.
            metrics: Told of what is kept and what is lost.
            clock: Monotonic time, seconds.
            max_bytes: Most room that all journals on this disk may take.
            segment_bytes: Room of one segment.
            seal_seconds: How old a segment becomes before it is sealed.
        """
        self.id = secrets.token_bytes(ID_BYTES).hex()
        self._root = root
        self._path = root / self.id
        self._metrics = metrics
        self._clock = clock
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self._seal_seconds = seal_seconds
        self._lock: int | None = None
        self._open: OpenSegment | None = None
        # Made beforehand for rows without bodies, as a disk that is full has no room for it.
        self._spare: OpenSegment | None = None
        self._sealed: list[Path] = []
        self._used = 0
        self._numbers = count(1)
        # For rows with bodies, and for those without.
        self._retry_at = [0.0, 0.0]
        self._broken = False

    def append(self, row: PayloadRow) -> None:
        """Write a row, without its bodies where there is no room for them; never fails."""
        try:
            if self._write(row.encode(), bare=False):
                self._broken = False
                return
            frame = row.without_bodies().encode()
            kept = self._write(frame, bare=True)
        except OSError as error:
            self._note(str(error))
            kept = False
        if kept:
            self._metrics.dropped.inc()
            self._note("there is no room for bodies")
        else:
            self._metrics.lost.inc()

    async def run(self, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Seal, and make ready what is sealed, until cancelled."""
        while True:
            await sleep(_INTERVAL_SECONDS)
            try:
                self.seal_old()
                await self.pack()
            except OSError as error:
                self._note(str(error))

    def seal_old(self) -> None:
        """Seal the segment that is written, if it is old enough."""
        if self._open and self._clock() - self._open.opened >= self._seal_seconds:
            self._seal()

    async def pack(self) -> None:
        """Compress what is sealed, and look how much room everything takes."""
        while self._sealed:
            await asyncio.to_thread(_pack, self._sealed.pop(0))
        if self._lock is not None:
            self._used = await asyncio.to_thread(_measure, self._root)
            self._metrics.bytes.set(self._used)

    async def finish(self) -> None:
        """Make ready what there is, and give the directory up; no row comes any longer."""
        if self._lock is None:
            return
        self._seal()
        await self.pack()
        if self._spare is not None:
            self._spare.close(self._spare.path)
            self._spare.path.unlink()
        if all(path.name == "lock" for path in self._path.iterdir()):
            remove(self._path)
        os.close(self._lock)

    def _write(self, frame: bytes, *, bare: bool) -> bool:
        """Write a frame where it belongs; return whether there was room."""
        segment = self._open
        if segment is None or not segment.takes(len(frame)) or (segment.bare and not bare):
            segment = self._next(len(frame), bare=bare)
            if segment is None:
                return False
        segment.append(frame)
        self._metrics.rows.inc()
        return True

    def _next(self, size: int, *, bare: bool) -> OpenSegment | None:
        """Return a new segment that takes a frame of `size` bytes; None: there is no room."""
        now = self._clock()
        if bare and self._spare is not None:
            spare, self._spare = self._spare, None
            spare.opened = now
            return self._begin(spare)
        if now < self._retry_at[bare]:
            return None
        segment = None
        try:
            segment = self._reserve_next(size, now, bare=bare)
        except OSError as error:
            self._note(str(error))
        if segment is None:
            self._retry_at[bare] = now + _RETRY_SECONDS
        return segment and self._begin(segment)

    def _reserve_next(self, size: int, now: float, *, bare: bool) -> OpenSegment | None:
        """Reserve a segment, and before that the spare one; None: that would be too much.

        Raises:
            OSError: The disk has no room.
        """
        self._prepare()
        if self._spare is None and self._used + _BARE_BYTES <= self._max_bytes:
            self._spare = self._reserve(_BARE_BYTES, now, bare=True)
        wanted = _BARE_BYTES if bare else max(size, self._segment_bytes)
        most = self._max_bytes if bare else self._max_bytes * (1 - _BARE_SHARE)
        return None if self._used + wanted > most else self._reserve(wanted, now, bare=bare)

    def _begin(self, segment: OpenSegment) -> OpenSegment:
        self._seal()
        self._open = segment
        return segment

    def _prepare(self) -> None:
        """Make the directory, where it is missing.

        Raises:
            OSError: That cannot be done.
        """
        if self._lock is None:
            self._root.mkdir(parents=True, exist_ok=True)
            self._lock = make_locked(self._root, self._path)
            self._used = _measure(self._root)

    def _reserve(self, size: int, now: float, *, bare: bool) -> OpenSegment:
        path = self._path / f"{next(self._numbers):010}{OPEN}"
        segment = OpenSegment(path, size, now, bare=bare)
        self._used += size
        return segment

    def _seal(self) -> None:
        segment, self._open = self._open, None
        if segment is None:
            return
        path = segment.path.with_suffix(SEALED)
        segment.close(path)
        self._used += segment.position - segment.size
        self._sealed.append(path)

    def _note(self, reason: str) -> None:
        if not self._broken:
            self._broken = True
            fields = log_fields(reason=reason, directory=str(self._path))
            _log.error("payloads are not recorded in full; queries are served on", extra=fields)


def _pack(path: Path) -> None:
    """Compress a sealed segment, where there is room for that, and make it ready.

    There is one file of it at any time, so that whoever reads it, and when, reads it once.
    """
    temporary = path.with_suffix(".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(zlib.compress(path.read_bytes(), _LEVEL))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
    path.rename(path.with_suffix(READY))


def _measure(root: Path) -> int:
    """Return the bytes that all files below `root` take."""
    total = 0
    for folder, _, names in os.walk(root):
        for name in names:
            try:
                total += Path(folder, name).stat().st_blocks * 512
            except FileNotFoundError:
                continue
    return total
