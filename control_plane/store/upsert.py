"""The INSERT of the database's own dialect, which says what becomes of a row that is there.

Used by the other modules of `store`. After: SQLAlchemy.
"""

from typing import Any

from sqlalchemy import Dialect

from modelplane.control_plane.store.database import Session


def insert(session: Session, table: type[Any]) -> Any:  # noqa: ANN401 - the dialects share no type
    """Return an INSERT with `on_conflict_do_nothing` and `on_conflict_do_update`.

    Args:
        session: Where it will be executed.
        table: Class of the rows.
    """
    return insert_for(session.get_bind().dialect, table)


def insert_for(dialect: Dialect, table: type[Any]) -> Any:  # noqa: ANN401 - see `insert`
    """Return the same for statements that are compiled before there is a session."""
    # The other one is not loaded: 30 ms of each start.
    if dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - see above

        return postgresql.insert(table)
    from sqlalchemy.dialects import sqlite  # noqa: PLC0415 - the same

    return sqlite.insert(table)
