"""Statements about configurations that are active and that a worker could not apply.

Before: `snapshots.rollout_driver`. After: `tables`. Beside: `rollouts`, for what is still being
prepared, and `records`, which reads what is told of a refusal.
"""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement
from sqlmodel import and_, col, delete, or_, select, update

from modelplane.control_plane.store.database import Session, Transaction
from modelplane.control_plane.store.endpoints import change_log
from modelplane.control_plane.store.states import EventKind, Phase
from modelplane.control_plane.store.tables import EndpointRow, RefusalRow


@dataclass(frozen=True, slots=True)
class StoredRefusal:
    """That a worker refused an endpoint at a revision."""

    endpoint_id: str
    revision: int


@dataclass(frozen=True, slots=True)
class NewRefusal:
    """What a worker refused.

    Attributes:
        endpoint_id: Endpoint.
        version: Version of its configuration.
        revision: Revision that was refused.
        serving: Whether the worker goes on serving what it had.
        message: Why, for the person who made the configuration.
    """

    endpoint_id: str
    version: int
    revision: int
    serving: bool
    message: str


async def note(transaction: Transaction, refusal: NewRefusal) -> None:
    """Store a refusal of the version that the endpoint is to serve; of any other, do nothing."""
    session = transaction.session
    query = select(EndpointRow.id).where(
        col(EndpointRow.id) == refusal.endpoint_id, _serves(refusal.version)
    )
    if (await session.exec(query.with_for_update())).first() is None:
        return
    row = await session.get(RefusalRow, refusal.endpoint_id)
    if row is None:
        row = RefusalRow(
            endpoint_id=refusal.endpoint_id, revision=0, serving=True, message=refusal.message
        )
        session.add(row)
    # What one worker serves does not help the callers whom another one answers.
    row.serving = row.serving and refusal.serving
    if refusal.revision >= row.revision:
        row.revision, row.message = refusal.revision, refusal.message
    await session.flush()
    await keep_unready(transaction, refusal.endpoint_id)
    await change_log.note(transaction, refusal.endpoint_id)


async def keep_unready(transaction: Transaction, endpoint_id: str) -> None:
    """Mark an endpoint as not ready while a worker serves nothing for it."""
    await transaction.session.exec(
        update(EndpointRow)
        .where(col(EndpointRow.id) == endpoint_id, unserved())
        .values(ready=False)
    )


def unserved() -> ColumnElement[bool]:
    """Return the condition that a worker serves nothing for the endpoint of a row."""
    return (
        select(RefusalRow.endpoint_id)
        .where(
            col(RefusalRow.endpoint_id) == col(EndpointRow.id), col(RefusalRow.serving).is_(False)
        )
        .exists()
    )


async def read_all(session: Session) -> list[StoredRefusal]:
    """Return all refusals that stand."""
    query = select(RefusalRow.endpoint_id, RefusalRow.revision)
    return [StoredRefusal(*row) for row in (await session.exec(query)).all()]


async def remove(transaction: Transaction, refusals: Collection[StoredRefusal]) -> None:
    """Take back refusals, each unless another one has come since."""
    for item in refusals:
        await transaction.session.exec(
            delete(RefusalRow).where(
                col(RefusalRow.endpoint_id) == item.endpoint_id,
                col(RefusalRow.revision) == item.revision,
            )
        )
    await change_log.note_all(transaction, {item.endpoint_id for item in refusals})


async def remove_before(transaction: Transaction, endpoint_id: str, revision: int) -> None:
    """Take back what was said of an endpoint before a revision."""
    await transaction.session.exec(
        delete(RefusalRow).where(
            col(RefusalRow.endpoint_id) == endpoint_id, col(RefusalRow.revision) < revision
        )
    )


async def ask_again(transaction: Transaction, refusals: Collection[StoredRefusal]) -> None:
    """Let the workers try again what was refused."""
    for item in refusals:
        await transaction.revise(EventKind.ENDPOINT, item.endpoint_id)


def _serves(version: int) -> ColumnElement[bool]:
    activating = col(EndpointRow.phase) == Phase.ACTIVATING
    return or_(
        and_(~activating, col(EndpointRow.active_version) == version),
        and_(activating, col(EndpointRow.pending_version) == version),
    )
