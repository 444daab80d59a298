"""Statements on the revision log."""

from dataclasses import dataclass

from sqlmodel import col, delete, select, update

from modelplane.control_plane.store.database import Session, Transaction
from modelplane.control_plane.store.states import EventKind
from modelplane.control_plane.store.tables import EventRow, RevisionRow


@dataclass(frozen=True, slots=True)
class Head:
    """Where the log stands."""

    revision: int
    # Events up to this revision are gone.
    compacted: int
    store_id: str


@dataclass(frozen=True, slots=True)
class Event:
    """One change."""

    revision: int
    kind: EventKind
    key: str
    # The secret whose value is all that changed of an endpoint; None: more may have.
    secret: str | None


async def read_head(session: Session) -> Head:
    """Return where the log stands."""
    row = (await session.exec(select(RevisionRow))).one()
    return Head(row.revision, row.compacted, row.store_id)


async def read_events(session: Session, after: int, until: int) -> list[Event]:
    """Return the events with `after` < revision <= `until`, in order."""
    query = (
        # Columns, since objects that the session keeps an eye on cost several times as much.
        select(EventRow.revision, EventRow.kind, EventRow.key, EventRow.secret)
        .where(col(EventRow.revision) > after, col(EventRow.revision) <= until)
        .order_by(col(EventRow.revision))
    )
    rows = (await session.exec(query)).all()
    return [Event(revision, EventKind(kind), key, secret) for revision, kind, key, secret in rows]


async def compact(transaction: Transaction, keep: int) -> None:
    """Delete all but the newest `keep` events."""
    head = await read_head(transaction.session)
    floor = head.revision - keep
    if floor <= head.compacted:
        return
    await transaction.session.exec(delete(EventRow).where(col(EventRow.revision) <= floor))
    await transaction.session.exec(update(RevisionRow).values(compacted=floor))
