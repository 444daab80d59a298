"""The worker's journal of admitted queries: written here before and after each provider call.

`ledger.py` writes it and `shipper.py` sends it to the control plane and forgets it;
`journal_segment.py` is one file of it. Each process has a directory of its own, which it locks
(`../directories.py`).
"""

import logging
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from modelplane.adapters.shared.telemetry import log_fields
from modelplane.data_plane.directories import ID_BYTES, make_locked, remove
from modelplane.data_plane.usage.journal_metrics import JournalMetrics
from modelplane.data_plane.usage.journal_room import keeps_room
from modelplane.data_plane.usage.journal_segment import INTENT_BYTES, KEY_BYTES, Segment

_log = logging.getLogger(__name__)
SEGMENT_BYTES = 4 << 20

# After a failure, a new segment is not tried for sooner.
_RETRY_SECONDS = 1.0


# Not frozen: one is made for each query, and that would take three times as long.
@dataclass(slots=True)
class Ticket:
    """An intent in the journal, to which its outcome belongs."""

    key: bytes
    segment: Segment = field(repr=False)


class Journal:
    """The journal of this process.

    Attributes:
        id: Identifier; all keys begin with it.
        segments: Its segments; the last one may take further intents.
    """

    def __init__(
        self,
        root: Path,
        metrics: JournalMetrics,
        clock: Callable[[], float],
        *,
        max_bytes: int,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        """Make the directory and lock it.

        Args:
            root: Directory of the journals of all workers on this disk.
            metrics: Told of what is kept and what is lost.
            clock: Monotonic time, seconds.
            max_bytes: Most room that the journal may take.
            segment_bytes: Room of one segment.

        Raises:
            OSError: The directory cannot be made or locked.
        """
        self.id = secrets.token_bytes(ID_BYTES)
        self.segments: list[Segment] = []
        self._metrics = metrics
        self._clock = clock
        self._max_segments = max(1, max_bytes // segment_bytes)
        self._segment_bytes = segment_bytes
        self._numbers = count(1)
        self._retry_at = 0.0
        self._broken = False
        root.mkdir(parents=True, exist_ok=True)
        self.path = root / self.id.hex()
        self._lock = make_locked(root, self.path)
        self._mapped = keeps_room(self.path)
        metrics.bytes.set_function(lambda: len(self.segments) * segment_bytes)
        self._keys = count(1)

    def new_key(self) -> bytes:
        """Return a key that no other query of any worker has."""
        return self.id + next(self._keys).to_bytes(KEY_BYTES - ID_BYTES, "big")

    def begin(self, key: bytes, intent: bytes) -> Ticket | None:
        """Write an intent; None if that cannot be done, which is counted and logged."""
        if len(intent) > INTENT_BYTES:
            self._note_lost("an intent is too long")
            return None
        try:
            segment = self.segments[-1] if self.segments else None
            if segment is None or not segment.takes(intent):
                segment = self._next_segment()
            if segment is None:
                self._metrics.lost.inc()
                return None
            segment.begin(key, intent)
        except OSError as error:
            self._note_lost(str(error))
            return None
        self._broken = False
        return Ticket(key, segment)

    def end(self, ticket: Ticket, outcome: bytes) -> None:
        """Write the outcome of an intent."""
        try:
            ticket.segment.end(ticket.key, outcome)
        except OSError as error:
            self._note_lost(str(error))

    def forget(self) -> None:
        """Delete the segments that are done with."""
        for segment in [segment for segment in self.segments if segment.is_done]:
            self.segments.remove(segment)
            segment.close()
            segment.path.unlink(missing_ok=True)

    def seal(self) -> None:
        """Take no further intents."""
        self._retry_at = float("inf")
        for segment in self.segments:
            segment.seal()

    def close(self) -> None:
        """Give the directory up; without segments, it is removed."""
        for segment in self.segments:
            segment.close()
        if not self.segments:
            remove(self.path)
        os.close(self._lock)

    def _next_segment(self) -> Segment | None:
        """Return a new segment; None while there is none."""
        if self.segments and self.segments[-1].is_open:
            self.segments[-1].seal()
        if self._clock() < self._retry_at:
            return None
        self._retry_at = self._clock() + _RETRY_SECONDS
        if len(self.segments) >= self._max_segments:
            raise OSError(f"the journal has {len(self.segments)} segments and may have no more")
        path = self.path / f"{next(self._numbers):010}"
        segment = Segment(path, self._segment_bytes, mapped=self._mapped)
        self.segments.append(segment)
        self._retry_at = 0.0
        return segment

    def _note_lost(self, reason: str) -> None:
        self._metrics.lost.inc()
        if not self._broken:
            self._broken = True
            fields = log_fields(reason=reason, directory=str(self.path))
            _log.error("usage is not recorded; queries are served on", extra=fields)
