"""Once a day: what is too old is deleted, small files become large ones, unused ones go.

Before: `writer.py`, which tells of tables. After: `delta.py`. Several writers of one table may do
so at a time: the table itself refuses the second, which does it on another day.
"""

import json
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Protocol

from modelplane.adapters.shared.telemetry import log_fields
from modelplane.data_plane.tables.files import write_durably

_log = logging.getLogger(__name__)
_MS = 1000.0


class Kept(Protocol):
    """Keeps tables in order."""

    def maintain(self, location: str, today: date, oldest: date | None) -> None:
        """Keep a table in order: drop what is before `oldest`, compact what is before today."""


class Maintenance:
    """Knows the tables that were written here, and when they were kept in order."""

    def __init__(self, directory: Path, wall_ms: Callable[[], float], retention_days: int) -> None:
        """Keep what is known in a directory.

        Args:
            directory: The writer's own.
            wall_ms: Wall time, milliseconds since the epoch.
            retention_days: Days for which rows are kept; 0: for ever.

        Raises:
            OSError: What is known cannot be read.
        """
        self._file = directory / "known.json"
        self._wall_ms = wall_ms
        self._retention_days = retention_days
        # By location: the day on which the table was kept in order.
        self._days: dict[str, str] = (
            json.loads(self._file.read_bytes()) if self._file.exists() else {}
        )

    def note(self, location: str) -> None:
        """Note a table that was written.

        Raises:
            OSError: The disk does not take it.
        """
        if location not in self._days:
            self._set(location, self._today())

    def due(self) -> Sequence[str]:
        """Return the tables whose day it is."""
        today = self._today().isoformat()
        return [location for location, day in self._days.items() if day < today]

    def run(self, tables: Kept) -> None:
        """Keep in order what is due; what a table does not take is tried on another day.

        Raises:
            OSError: The disk does not take what is known.
        """
        today = self._today()
        days = self._retention_days
        oldest = today - timedelta(days=days) if days else None
        for location in self.due():
            try:
                tables.maintain(location, today, oldest)
            except Exception as error:  # noqa: BLE001 - of one table, which must not hold up others
                fields = log_fields(error=type(error).__name__, reason=str(error), table=location)
                _log.warning("a payload table was not kept in order", extra=fields)
            self._set(location, today)

    def _set(self, location: str, day: date) -> None:
        self._days[location] = day.isoformat()
        write_durably(self._file, json.dumps(self._days).encode())

    def _today(self) -> date:
        return datetime.fromtimestamp(self._wall_ms() / _MS, UTC).date()
