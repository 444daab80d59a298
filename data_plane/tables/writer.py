"""Writes payload tables: what workers have recorded is in them once, whoever is killed when.

Before: `spool.py`. After: `delta.py`, which is imported when there is something to write.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from modelplane.adapters.shared.telemetry import log_fields
from modelplane.data_plane.payloads.row import PayloadRow
from modelplane.data_plane.tables.maintenance import Kept, Maintenance
from modelplane.data_plane.tables.metrics import WriterMetrics
from modelplane.data_plane.tables.spool import Pending, Spool

_log = logging.getLogger(__name__)
# About what one commit holds in memory.
_COMMIT_BYTES = 64 << 20
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0


class Tables(Kept, Protocol):
    """Takes rows, batch by batch."""

    def committed(self, location: str) -> int:
        """Return the number of the last batch that a table has; 0: none."""

    def append(self, location: str, number: int, rows: Sequence[PayloadRow]) -> None:
        """Append the rows of all batches up to `number` that the table does not have."""


class PayloadWriter:
    """Writes what waits in queues to tables."""

    def __init__(
        self,
        spool: Spool,
        tables: Callable[[], Tables],
        clock: Callable[[], float],
        metrics: WriterMetrics,
        maintenance: Maintenance,
    ) -> None:
        """Write to `tables`.

        Args:
            spool: Has the queues.
            tables: Returns the tables, which are needed when there is a row.
            clock: Monotonic time, seconds.
            metrics: Told of what is written.
            maintenance: Keeps tables in order.
        """
        self._spool = spool
        self._open = tables
        self._tables: Tables | None = None
        self._clock = clock
        self._metrics = metrics
        self._maintenance = maintenance
        # By the directory of a queue: when it is tried again, and how long the pause was.
        self._resting: dict[str, tuple[float, float]] = {}

    def work(self) -> None:
        """Write all that there is; what a table does not take now waits for the next time.

        Raises:
            OSError: A journal or a queue cannot be read or written.
        """
        while self._spool.take():
            self._write_queues()
        self._write_queues()
        if self._maintenance.due():
            self._maintenance.run(self._ready())

    def _write_queues(self) -> None:
        for queue in self._spool.queues():
            name = queue[0].path.parent.name
            until, pause = self._resting.get(name, (0.0, _FIRST_PAUSE_SECONDS / 2))
            if self._clock() < until:
                continue
            try:
                self._write(queue)
            except Exception as error:  # noqa: BLE001 - of one table, which must not hold up others
                pause = min(_LONGEST_PAUSE_SECONDS, pause * 2)
                self._resting[name] = (self._clock() + pause, pause)
                self._metrics.failures.inc()
                fields = log_fields(error=type(error).__name__, reason=str(error), queue=name)
                _log.warning("a payload table takes no rows", extra=fields)
            else:
                self._resting.pop(name, None)

    def _write(self, queue: Sequence[Pending]) -> None:
        """Write a queue to its table, in commits of a size that memory bears."""
        waiting: list[Pending] = []
        rows: list[PayloadRow] = []
        size = 0
        for pending in queue:
            found, of_frames = pending.read()
            waiting.append(pending)
            rows += found
            size += of_frames
            if size >= _COMMIT_BYTES:
                self._commit(waiting, rows)
                waiting, rows, size = [], [], 0
        self._commit(waiting, rows)

    def _commit(self, waiting: Sequence[Pending], rows: Sequence[PayloadRow]) -> None:
        if rows:
            self._append(waiting, rows)
        for pending in waiting:
            pending.path.unlink()

    def _append(self, waiting: Sequence[Pending], rows: Sequence[PayloadRow]) -> None:
        """Append what the table does not have; a commit holds whole batches, or none of one."""
        tables = self._ready()
        location = rows[0].location
        committed = tables.committed(location)
        new = [pending for pending in waiting if pending.number > committed]
        if not new:
            return
        if len(new) < len(waiting):
            rows = [row for pending in new for row in pending.read()[0]]
        tables.append(location, new[-1].number, rows)
        self._maintenance.note(location)
        self._metrics.written.inc(len(rows))

    def _ready(self) -> Tables:
        self._tables = self._tables or self._open()
        return self._tables
