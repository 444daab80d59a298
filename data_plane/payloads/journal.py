"""The worker's journal of payloads: rows on their way to tables, written without waiting.

Before: `log.py`. A row is in the kernel's hands before its call is answered; a segment is sealed
when it is full or old, then compressed by a thread and ready for the writer (`../tables/`), which
deletes it. A segment with rows that are still to be amended is kept open for that, but not for
long. Each process has a directory of its own, which it locks (`../directories.py`). Where
there is no room, rows lose their bodies first; a call never waits and never fails for it.
"""

import asyncio
import logging
import os
import secrets
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from modelplane.adapters.providers.types import JsonObject
from modelplane.adapters.shared.telemetry import log_fields
from modelplane.data_plane.directories import ID_BYTES, make_locked, remove
from modelplane.data_plane.payloads.metrics import PayloadMetrics
from modelplane.data_plane.payloads.row import AMENDMENT_BYTES, PayloadRow, encode_amendment
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
# For so long a segment that is full or old waits for amendments: a judge may take a minute.
AMENDING_SECONDS = 75.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row may be amended."""

    segment: OpenSegment
    offset: int


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
        # Those that take no rows any longer, but amendments, and those that take nothing.
        self._held: list[OpenSegment] = []
        self._sealed: list[Path] = []
        self._used = 0
        self._numbers = count(1)
        # For rows with bodies, and for those without.
        self._retry_at = [0.0, 0.0]
        self._broken = False

    def append(self, row: PayloadRow, *, amendable: bool = False) -> Place | None:
        """Write a row, without its bodies where there is no room for them; never fails.

        Args:
            row: The row.
            amendable: Whether it is to be amended.

        Returns:
            Where it is, if it is amendable, and is written.
        """
        spare = AMENDMENT_BYTES if amendable else 0
        try:
            if segment := self._write(row.encode(), spare, bare=False):
                self._broken = False
            else:
                segment = self._write(row.without_bodies().encode(), spare, bare=True)
                if segment and not row.kind:
                    self._metrics.dropped.inc()
                    self._note("there is no room for bodies")
        except OSError as error:
            self._note(str(error))
            segment = None
        if segment is None:
            self._metrics.lost.inc()
            return None
        return Place(segment, segment.reserve(spare)) if amendable else None

    def amend(self, place: Place, facts: JsonObject) -> None:
        """Let facts take the place of those of a row, if that has not left; never fails.

        Args:
            place: Where the row is, which is amended once.
            facts: The facts.
        """
        try:
            place.segment.amend(place.offset, encode_amendment(facts))
        except (OSError, ValueError) as error:
            self._note(str(error))

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
        self._close_held()
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
        self._close_held(at_once=True)
        await self.pack()
        if self._spare is not None:
            self._spare.close(self._spare.path)
            self._spare.path.unlink()
        if all(path.name == "lock" for path in self._path.iterdir()):
            remove(self._path)
        os.close(self._lock)

    def _write(self, frame: bytes, spare: int, *, bare: bool) -> OpenSegment | None:
        """Write a frame where it belongs, with room behind it; return where; None: no room."""
        segment, size = self._open, len(frame) + spare
        if segment is None or not segment.takes(size) or (segment.bare and not bare):
            segment = self._next(size, bare=bare)
            if segment is None:
                return None
        segment.append(frame)
        self._metrics.rows.inc()
        return segment

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
        if segment is not None:
            self._close(segment)

    def _close_held(self, *, at_once: bool = False) -> None:
        held, self._held = self._held, []
        for segment in held:
            self._close(segment, at_once=at_once)

    def _close(self, segment: OpenSegment, *, at_once: bool = False) -> None:
        """Close a segment, unless it is to be amended, and has not waited for long."""
        waited = self._clock() - segment.opened
        if segment.awaited and not at_once and waited < self._seal_seconds + AMENDING_SECONDS:
            self._held.append(segment)
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
