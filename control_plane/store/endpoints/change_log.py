"""The last changes of endpoints that are told to those who look at them.

Whatever changes what an endpoint shows is noted here, in the transaction that changes it. Workers
have a log of their own (`store.events`), which most of this is nothing to.
Before: `changes`, `rollouts`, `hosting.groups`. After: `tables`. Readers: `endpoints.change_watch`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import case, literal
from sqlmodel import col, delete, insert, select, update

from modelplane.control_plane.clock import system_clock
from modelplane.control_plane.store.database import Session, Transaction
from modelplane.control_plane.store.endpoints.tables import EndpointChangeRow
from modelplane.control_plane.store.states import ChangeKind, Phase
from modelplane.control_plane.store.tables import EndpointRow, RevisionRow

# Changes that are kept.
KEPT = 1_000
# More endpoints than these that change at once are one change.
_FEW = 20
_CUT_EVERY = 100

_COLUMNS = (
    "revision",
    "kind",
    "endpoint_id",
    "name",
    "grants_json",
    "config_version",
    "phase",
    "time_ms",
)


@dataclass(frozen=True, slots=True)
class Change:
    """One change.

    Attributes:
        revision: Its number; each is higher than those that were committed before.
        kind: What became of the endpoint.
        endpoint_id: Its identifier; empty: of many.
        name: Its name.
        grants_json: Who might do what with it then, as its row has it.
        config_version: Version that was being rolled out, or that served.
        phase: Where the rollout of that stood.
        time_ms: When it was, milliseconds since the epoch.
    """

    revision: int
    kind: ChangeKind
    endpoint_id: str
    name: str
    grants_json: str
    config_version: int | None
    phase: Phase
    time_ms: int


async def note(
    transaction: Transaction, endpoint_id: str, kind: ChangeKind = ChangeKind.UPDATED
) -> None:
    """Note that an endpoint has changed, as it is now; of one that is gone, do nothing.

    The counter's row stays locked until the commit, as that of revisions does: call it late.
    """
    revision = await _next(transaction)
    rolled_out = case(
        (col(EndpointRow.phase) == Phase.SETTLED, col(EndpointRow.active_version)),
        else_=col(EndpointRow.pending_version),
    )
    columns: list[Any] = [
        literal(revision),
        literal(kind),
        EndpointRow.id,
        EndpointRow.name,
        EndpointRow.grants_json,
        rolled_out,
        EndpointRow.phase,
        literal(system_clock()),
    ]
    shown = select(*columns).where(col(EndpointRow.id) == endpoint_id)
    await transaction.session.exec(insert(EndpointChangeRow).from_select(_COLUMNS, shown))


async def note_all(transaction: Transaction, endpoint_ids: Collection[str]) -> None:
    """Note that endpoints have changed; of many it is told that they have, not which."""
    if len(endpoint_ids) <= _FEW:
        for endpoint_id in sorted(endpoint_ids):
            await note(transaction, endpoint_id)
        return
    revision = await _next(transaction)
    row = {"revision": revision, "kind": ChangeKind.MANY, "time_ms": system_clock()}
    await transaction.session.exec(insert(EndpointChangeRow), params=[row])


async def read_newest(session: Session) -> int:
    """Return the revision of the newest change."""
    return (await session.exec(select(RevisionRow.changes))).one()


async def read_changes(session: Session, after: int) -> list[Change]:
    """Return the changes that are kept and came after a revision, in order."""
    query = (
        select(*(getattr(EndpointChangeRow, name) for name in _COLUMNS))
        .where(col(EndpointChangeRow.revision) > after)
        .order_by(col(EndpointChangeRow.revision))
    )
    rows = (await session.exec(query)).all()
    return [
        Change(revision, ChangeKind(kind), key, name, grants, version, Phase(phase), time_ms)
        for revision, kind, key, name, grants, version, phase, time_ms in rows
    ]


async def _next(transaction: Transaction) -> int:
    session = transaction.session
    # What is told refers to what the session may not have written yet.
    await session.flush()
    counter = update(RevisionRow).values(changes=col(RevisionRow.changes) + 1)
    revision = int((await session.exec(counter.returning(col(RevisionRow.changes)))).scalar_one())
    if revision % _CUT_EVERY == 0:
        old = col(EndpointChangeRow.revision) <= revision - KEPT
        await session.exec(delete(EndpointChangeRow).where(old))
    transaction.hint = True
    return revision
