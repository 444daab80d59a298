"""The driver of SQLite as SQLAlchemy uses it, with few visits to the driver's thread.

A visit wakes two threads, which costs more than most of our statements do. SQLAlchemy's own adapter
makes four for a statement that returns rows (a cursor, the statement, its rows, the cursor's end),
one to begin a transaction and one to end it. Here a statement is one visit, the first of a
transaction begins it, too, and nobody waits for the end of one that has only read.
Before: `engine`.
"""

import sqlite3
from collections import deque
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import aiosqlite
from sqlalchemy.dialects.sqlite.aiosqlite import (
    AsyncAdapt_aiosqlite_connection,
    AsyncAdapt_aiosqlite_cursor,
    AsyncAdapt_aiosqlite_dbapi,
)
from sqlalchemy.util import await_only

# The types are those of SQLAlchemy's adapter, whose private parts are all that there is to extend.
# ruff: noqa: ANN401, SLF001


class Begin(StrEnum):
    """The statement that begins a transaction."""

    READ = "BEGIN"
    # What is written may depend on what was read: nobody else writes in between.
    WRITE = "BEGIN IMMEDIATE"


class Outcome(NamedTuple):
    """What a statement left: its rows, and the attributes of a cursor (PEP 249)."""

    description: Any = None
    rows: Sequence[Any] = ()
    rowcount: int = -1
    lastrowid: int | None = None


class _Cursor(AsyncAdapt_aiosqlite_cursor):
    """Has what the last statement left; nothing is open in the database."""

    __slots__ = ("_outcome", "arraysize")

    def __init__(self, adapt_connection: Any) -> None:
        self._adapt_connection = adapt_connection
        self._rows = deque()
        self._outcome = Outcome()
        self.arraysize = 1

    @property
    def description(self) -> Any:
        return self._outcome.description

    @property
    def rowcount(self) -> int:
        return self._outcome.rowcount

    @property
    def lastrowid(self) -> Any:
        return self._outcome.lastrowid

    def execute(self, operation: Any, parameters: Any = None) -> None:
        self._run(operation, parameters or (), many=False)

    def executemany(self, operation: Any, seq_of_parameters: Any) -> None:
        self._run(operation, seq_of_parameters, many=True)

    def close(self) -> None:
        self._rows.clear()

    async def _async_soft_close(self) -> None:
        """Do nothing: nothing is open."""

    def _run(self, statement: str, parameters: Any, *, many: bool) -> None:
        connection: Any = self._adapt_connection
        try:
            self._outcome = await_only(connection.visit(statement, parameters, many=many))
        except Exception as error:  # noqa: BLE001 - raised again
            connection._handle_exception(error)
        self._rows = deque(self._outcome.rows)


class Connection(AsyncAdapt_aiosqlite_connection):
    """A connection whose transactions begin with their first statement."""

    __slots__ = ("_begun", "_to_begin")

    _cursor_cls: Any = _Cursor
    # An `aiosqlite.Connection`.
    _connection: Any

    def __init__(self, dbapi: Any, connection: Any) -> None:
        super().__init__(dbapi, connection)
        self._begun: Begin | None = None
        self._to_begin: Begin | None = None

    def begin(self, how: Begin) -> None:
        """Let a transaction begin with the next statement."""
        self._to_begin = how

    async def visit(self, statement: str, parameters: Any, *, many: bool = False) -> Outcome:
        """Return what a statement left that was run for `parameters`, or for each of many.

        Raises:
            sqlite3.Error: As sqlite3 does.
        """
        begin, self._to_begin = self._to_begin, None
        self._begun = begin or self._begun
        driver = self._connection
        outcome: Outcome = await driver._execute(
            _run, driver._conn, statement, parameters, begin=begin, many=many
        )
        return outcome

    def commit(self) -> None:
        """End a transaction, if one has begun."""
        if self._forget():
            super().commit()

    def rollback(self) -> None:
        """End a transaction, if one has begun; what comes next comes after it."""
        begun, driver = self._forget(), self._connection
        if begun is Begin.READ and driver._connection:
            driver._tx.put_nowait((None, driver._connection.rollback))
        elif begun:
            super().rollback()

    def _forget(self) -> Begin | None:
        begun, self._begun, self._to_begin = self._begun, None, None
        return begun


class _Module(AsyncAdapt_aiosqlite_dbapi):
    def connect(self, *arg: Any, **kw: Any) -> Connection:
        return Connection(self, super().connect(*arg, **kw).driver_connection)


def module() -> Any:
    """Return the driver, as `create_async_engine` takes it."""
    return _Module(aiosqlite, sqlite3)


def _run(
    driver: sqlite3.Connection,
    statement: str,
    parameters: Any,
    *,
    begin: Begin | None,
    many: bool,
) -> Outcome:
    if begin:
        driver.execute(begin)
    run = driver.executemany if many else driver.execute
    cursor = run(statement, parameters)
    try:
        rows = cursor.fetchall() if cursor.description else ()
        return Outcome(cursor.description, rows, cursor.rowcount, cursor.lastrowid)
    finally:
        cursor.close()
