"""Statements on demand: what each worker said last of how much it asks of each group.

Before: `control_plane.hosting`. After: `tables`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from modelserving.worker.v1.hosting_pb2 import GroupDemand
from sqlmodel import col, delete, select

from modelplane.control_plane.store.database import Session, Transaction
from modelplane.control_plane.store.hosting.logs import lock_known
from modelplane.control_plane.store.hosting.tables import GroupDemandRow
from modelplane.control_plane.store.upsert import insert


@dataclass(frozen=True, slots=True)
class StoredDemand:
    """What one worker asks of one group, and when it said so."""

    worker_id: str
    demand: GroupDemand
    updated_ms: int


async def save_demand(
    transaction: Transaction,
    told: Mapping[tuple[str, str], GroupDemand],
    now_ms: int,
) -> None:
    """Replace what workers said, by group and worker; of groups that are gone, drop it."""
    known = await lock_known(transaction, {group_id for group_id, _ in told})
    for (group_id, worker_id), demand in sorted(told.items(), key=lambda item: item[0]):
        if group_id not in known:
            continue
        values = {"demand": demand.SerializeToString(), "updated_ms": now_ms}
        statement = insert(transaction.session, GroupDemandRow).values(
            group_id=group_id, worker_id=worker_id, **values
        )
        await transaction.session.exec(
            statement.on_conflict_do_update(index_elements=["group_id", "worker_id"], set_=values)
        )


async def read_demand(session: Session, since_ms: int) -> dict[str, list[StoredDemand]]:
    """Return what workers said since a time, by group."""
    query = select(GroupDemandRow).where(col(GroupDemandRow.updated_ms) > since_ms)
    found: dict[str, list[StoredDemand]] = {}
    for row in (await session.exec(query)).all():
        told = StoredDemand(row.worker_id, GroupDemand.FromString(row.demand), row.updated_ms)
        found.setdefault(row.group_id, []).append(told)
    return found


async def forget_demand(transaction: Transaction, before_ms: int) -> None:
    """Delete what was said before a time."""
    statement = delete(GroupDemandRow).where(col(GroupDemandRow.updated_ms) < before_ms)
    await transaction.session.exec(statement)
