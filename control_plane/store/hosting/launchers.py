"""Statements on launchers: which is the active one of each pool, and what its replicas may use.

Before: `control_plane.hosting`. After: `tables`.
"""

from dataclasses import dataclass

from modelserving.launcher.v1.launcher_service_pb2 import Capacity
from sqlmodel import col, or_, select, update

from modelplane.control_plane.store.database import Session, Transaction
from modelplane.control_plane.store.hosting.tables import LauncherRow
from modelplane.control_plane.store.upsert import insert

# By more than this no two replicas differ that take the time from one database.
_CLOCK_SET_BACK_MS = 60_000


@dataclass(frozen=True, slots=True)
class StoredLauncher:
    """The active launcher of a pool, as far as its lease has not ended."""

    pool: str
    launcher_id: str
    backend: str
    lease_until_ms: int
    # None: it has not said yet.
    capacity: Capacity | None


@dataclass(frozen=True, slots=True)
class Claim:
    """A launcher that wants to be, or to stay, the active one of its pool until a time."""

    pool: str
    launcher_id: str
    backend: str
    until_ms: int


async def claim(transaction: Transaction, wanted: Claim, now_ms: int) -> str:
    """Make a launcher the active one unless another one is; return the active one's identifier."""
    values = {
        "launcher_id": wanted.launcher_id,
        "backend": wanted.backend,
        "lease_until_ms": wanted.until_ms,
    }
    new = insert(transaction.session, LauncherRow).values(pool=wanted.pool, capacity=b"", **values)
    # One statement, so that of two that ask at the same time one finds the other.
    statement = new.on_conflict_do_update(
        index_elements=["pool"],
        set_=values,
        where=or_(
            col(LauncherRow.launcher_id) == wanted.launcher_id,
            col(LauncherRow.lease_until_ms) <= now_ms,
            # No lease is so long: the clock was set back, and nobody renews it.
            col(LauncherRow.lease_until_ms) > wanted.until_ms + _CLOCK_SET_BACK_MS,
        ),
    )
    await transaction.session.exec(statement)
    query = select(LauncherRow.launcher_id).where(col(LauncherRow.pool) == wanted.pool)
    return (await transaction.session.exec(query)).one()


async def shorten(transaction: Transaction, pool: str, launcher_id: str, until_ms: int) -> None:
    """Let the lease of a launcher, if it is the active one, end at a time at the latest."""
    await transaction.session.exec(
        update(LauncherRow)
        .where(
            col(LauncherRow.pool) == pool,
            col(LauncherRow.launcher_id) == launcher_id,
            col(LauncherRow.lease_until_ms) > until_ms,
        )
        .values(lease_until_ms=until_ms)
    )


async def save_capacity(
    transaction: Transaction, pool: str, launcher_id: str, capacity: Capacity
) -> None:
    """Store what the active launcher's replicas may use."""
    await transaction.session.exec(
        update(LauncherRow)
        .where(col(LauncherRow.pool) == pool, col(LauncherRow.launcher_id) == launcher_id)
        .values(capacity=capacity.SerializeToString())
    )


async def read_launcher(
    session: Session, pool: str, *, lock: bool = False
) -> StoredLauncher | None:
    """Return the launcher of a pool that was the active one last, if there was any.

    Args:
        session: Where to read.
        pool: The pool.
        lock: Keep others from changing it until the transaction ends.
    """
    row = await session.get(LauncherRow, pool, populate_existing=True, with_for_update=lock)
    if row is None:
        return None
    capacity = Capacity.FromString(row.capacity) if row.capacity else None
    return StoredLauncher(row.pool, row.launcher_id, row.backend, row.lease_until_ms, capacity)
