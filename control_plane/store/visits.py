"""Short transactions on a SQLite file, each with one visit to the thread that has its connection.

Before: `database`. Beside: `sqlite_driver`, by which all else goes to a thread once for each
statement and for the commit: that costs several times as much as what is done there.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TypeVar

from modelplane.control_plane.store.engine import configure_sqlite

T = TypeVar("T")


class Visits:
    """One connection, on a thread of its own; both are made when they are needed first."""

    def __init__(self, path: str) -> None:
        """Connect to the file at `path`."""
        self._path = path
        self._thread = ThreadPoolExecutor(1, "sqlite-visits")
        self._connection: sqlite3.Connection | None = None

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do some work in a transaction, which an error takes back; return what it returns.

        Whoever gives it up goes only when the database is let go of.

        Raises:
            sqlite3.Error: The database refused it.
        """
        given_up = Event()
        visit = asyncio.get_running_loop().run_in_executor(
            self._thread, self._transact, work, given_up
        )
        try:
            return await asyncio.shield(visit)
        except asyncio.CancelledError:
            given_up.set()
            await asyncio.wait([visit])
            visit.exception()
            raise

    async def aclose(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    def _transact(self, work: Callable[[sqlite3.Connection], T], given_up: Event) -> T:
        try:
            connection = self._connection or self._open()
            connection.execute("BEGIN IMMEDIATE")
            result = work(connection)
            # What nobody waits for any more would be lost to all.
            connection.execute("ROLLBACK" if given_up.is_set() else "COMMIT")
        except BaseException:
            # That takes back what was done. Files that were opened read-only would remain so.
            self._close()
            raise
        return result

    def _open(self) -> sqlite3.Connection:
        self._connection = sqlite3.connect(self._path)
        configure_sqlite(self._connection)
        return self._connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
