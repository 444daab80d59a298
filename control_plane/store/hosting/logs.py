"""Statements on the logs of groups: the end of each, as its launcher said last.

Before: `control_plane.hosting`. After: `tables`.
"""

from collections.abc import Collection, Mapping

from sqlmodel import col, select

from modelplane.control_plane.store.database import Session, Transaction, in_parts
from modelplane.control_plane.store.hosting.tables import GroupLogRow, ReplicaGroupRow
from modelplane.control_plane.store.states import LogKind
from modelplane.control_plane.store.upsert import insert


async def read_log(session: Session, group_id: str, kind: LogKind) -> str:
    """Return the end of a log; empty: there is nothing in it."""
    row = await session.get(GroupLogRow, (group_id, kind))
    return row.text if row else ""


async def save_logs(
    transaction: Transaction,
    logs: Mapping[tuple[str, LogKind], str],
    now_ms: int,
) -> None:
    """Replace the ends of logs, by group and kind; those of groups that are gone are dropped."""
    known = await lock_known(transaction, {group_id for group_id, _ in logs})
    for (group_id, kind), text in sorted(logs.items()):
        if group_id not in known:
            continue
        # PostgreSQL knows no NUL character.
        values = {"text": text.replace("\0", "\N{REPLACEMENT CHARACTER}"), "updated_ms": now_ms}
        statement = insert(transaction.session, GroupLogRow).values(
            group_id=group_id, kind=kind, **values
        )
        await transaction.session.exec(
            statement.on_conflict_do_update(index_elements=["group_id", "kind"], set_=values)
        )


async def lock_known(transaction: Transaction, group_ids: Collection[str]) -> set[str]:
    """Return those of `group_ids` that exist, and keep others from deleting them."""
    known: set[str] = set()
    for part in in_parts(sorted(group_ids)):
        query = select(ReplicaGroupRow.id).where(col(ReplicaGroupRow.id).in_(part))
        query = query.order_by(col(ReplicaGroupRow.id)).with_for_update(read=True, key_share=True)
        known |= set((await transaction.session.exec(query)).all())
    return known
