"""What errors of a database mean: is it away, is it damaged, or is a statement wrong?

Before: `database`.
"""

from sqlite3 import (
    SQLITE_CANTOPEN,
    SQLITE_CORRUPT,
    SQLITE_ERROR,
    SQLITE_FULL,
    SQLITE_INTERRUPT,
    SQLITE_IOERR,
    SQLITE_NOTADB,
    SQLITE_READONLY,
)

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

# The lower bits of SQLite's error codes; the others say more.
_PRIMARY_CODE = 0xFF
# The file system takes nothing: its disk is full or broken, or it was made read-only.
_UNWRITABLE_CODES = (SQLITE_FULL, SQLITE_IOERR, SQLITE_READONLY)
# SQLSTATE: the server's disk is full; it takes no changes, as a standby does.
_UNWRITABLE_STATES = ("53100", "25006")
# SQLSTATE: damaged data or indexes.
_DAMAGE_STATES = ("XX001", "XX002")
# Classes of SQLSTATE: no such user or a wrong password, and no such database.
_ACCESS_STATES = ("28", "3D")
# Classes of SQLSTATE: connection lost, out of resources (connections among them), and the operator
# or a crash ending the server, which is also what one that starts up says.
_OUTAGE_STATES = ("08", "53", "57P")
# Class of SQLSTATE: the server gave up a transaction for another one's sake, as when two wait for
# each other.
_CONFLICT_STATES = "40"
# SQLSTATE: the server gave up a statement that took longer than it may.
_OVERDUE_STATE = "57014"


def remedy_for(error: BaseException) -> str:
    """Return what the operator can do about `error`, which no waiting mends; empty: nothing."""
    original = getattr(error, "orig", None)
    code = _primary_code(original)
    state = getattr(original, "sqlstate", None) or ""
    if code in (SQLITE_CORRUPT, SQLITE_NOTADB) or state in _DAMAGE_STATES:
        return "Put back a copy of it."
    return "Check MODELPLANE_DATABASE_URL." if state.startswith(_ACCESS_STATES) else ""


def is_outage(error: BaseException) -> bool:
    """Tell whether `error` means that the database is away, not that a statement is wrong."""
    if isinstance(error, DBAPIError):
        if getattr(error.orig, "sqlite_errorcode", None) == SQLITE_ERROR:
            return False
        # The driver has no class of its own for what a server says that is about to go or to come.
        state = getattr(error.orig, "sqlstate", None) or ""
        return (
            isinstance(error, OperationalError | InterfaceError)
            or error.connection_invalidated
            or state.startswith(_OUTAGE_STATES)
        )
    # No connection became free in time, or nothing was heard: `TimeoutError` is an `OSError`.
    return isinstance(error, OSError | PoolTimeoutError)


def is_conflict(error: BaseException) -> bool:
    """Tell whether `error` means that another transaction was in the way, and will not be again."""
    state = getattr(getattr(error, "orig", None), "sqlstate", None) or ""
    return state.startswith(_CONFLICT_STATES)


def is_unwritable(original: BaseException | None) -> bool:
    """Tell whether an error of the database itself means that it can be read, but not written."""
    state = getattr(original, "sqlstate", None) or ""
    return _primary_code(original) in _UNWRITABLE_CODES or state in _UNWRITABLE_STATES


def is_unopened(original: BaseException | None) -> bool:
    """Tell whether SQLite could not open or make its files, for whatever reason."""
    return _primary_code(original) == SQLITE_CANTOPEN


def is_overdue(error: BaseException) -> bool:
    """Tell whether `error` means that a statement took longer than it may."""
    original = getattr(error, "orig", None)
    return (
        getattr(original, "sqlite_errorcode", None) == SQLITE_INTERRUPT
        or getattr(original, "sqlstate", None) == _OVERDUE_STATE
    )


def _primary_code(original: BaseException | None) -> int:
    code: int = getattr(original, "sqlite_errorcode", 0)
    return code & _PRIMARY_CODE
