"""Statements that move a rollout from phase to phase.

Each transition names the phase and version that it starts from and does nothing when another
replica was faster, so any number of replicas may drive the same rollout.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, CursorResult, Update, and_
from sqlmodel import col, select, update

from modelplane.control_plane.store.database import Session, Transaction
from modelplane.control_plane.store.endpoints import change_log, refusals, rollout_records
from modelplane.control_plane.store.endpoints.rollout_records import RolloutKey
from modelplane.control_plane.store.hosting import groups, version_groups
from modelplane.control_plane.store.states import EventKind, LastUpdate, Outcome, Phase
from modelplane.control_plane.store.tables import EndpointConfigRow, EndpointRow


@dataclass(frozen=True, slots=True)
class RolloutState:
    """A rollout in progress."""

    endpoint_id: str
    version: int
    phase: Phase
    # Revision that the workers must have acknowledged for the phase to end.
    revision: int
    # Groups that its version needs.
    group_ids: tuple[str, ...] = ()

    @property
    def version_key(self) -> RolloutKey:
        """Which rollout this is."""
        return self.endpoint_id, self.version

    @property
    def key(self) -> tuple[str, int, Phase]:
        """Which phase of which rollout this is."""
        return self.endpoint_id, self.version, self.phase


async def read_rollouts(session: Session) -> list[RolloutState]:
    """Return all rollouts in progress, oldest first."""
    columns: list[Any] = [
        EndpointRow.id,
        EndpointRow.pending_version,
        EndpointRow.phase,
        EndpointRow.phase_revision,
        EndpointConfigRow.hosted,
    ]
    query = (
        select(*columns)
        .outerjoin(EndpointConfigRow, _is_pending())
        # By what it is, not by what it is not: there is an index of that.
        .where(col(EndpointRow.phase).in_((Phase.PREPARING, Phase.ACTIVATING)))
        .order_by(col(EndpointRow.phase_revision))
    )
    return [
        RolloutState(endpoint_id, version or 0, Phase(phase), revision, _group_ids(hosted))
        for endpoint_id, version, phase, revision, hosted in (await session.exec(query)).all()
    ]


async def find_in_progress(session: Session, key: RolloutKey) -> RolloutState | None:
    """Return the rollout of a version; None: it is not in progress."""
    endpoint_id, version = key
    query = select(EndpointRow).where(
        col(EndpointRow.id) == endpoint_id,
        col(EndpointRow.pending_version) == version,
        col(EndpointRow.phase) != Phase.SETTLED,
    )
    row = (await session.exec(query)).first()
    if row is None:
        return None
    return RolloutState(endpoint_id, version, Phase(row.phase), row.phase_revision)


async def awaits_workers(session: Session, endpoint_id: str) -> bool:
    """Tell whether a rollout of the endpoint is in progress that only waits for workers.

    One that waits for a replica which has to start first takes far longer.
    """
    query = (
        select(EndpointRow.phase, EndpointConfigRow.hosted)
        .outerjoin(EndpointConfigRow, _is_pending())
        .where(col(EndpointRow.id) == endpoint_id)
    )
    phase, hosted = (await session.exec(query)).first() or (Phase.SETTLED, None)
    if phase == Phase.SETTLED:
        return False
    needed = await groups.load(session, _group_ids(hosted))
    return all(group.ready_once for group in needed)


async def begin_activation(transaction: Transaction, rollout: RolloutState, now_ms: int) -> bool:
    """Let the prepared version serve: PREPARING to ACTIVATING. Return whether it happened here."""
    if not await _transition(transaction, rollout, phase=Phase.ACTIVATING):
        return False
    revision = await transaction.revise(EventKind.ENDPOINT, rollout.endpoint_id)
    await transaction.session.exec(
        update(EndpointRow)
        .where(col(EndpointRow.id) == rollout.endpoint_id)
        .values(phase_revision=revision)
    )
    await rollout_records.note_prepared(transaction, rollout.version_key, revision, now_ms)
    await change_log.note(transaction, rollout.endpoint_id)
    return True


async def complete(
    transaction: Transaction, rollout: RolloutState, *, ready: bool, now_ms: int
) -> bool:
    """End a rollout in success: ACTIVATING to SETTLED. Return whether it happened here.

    What the workers hold does not change, so there is no event for them.
    """
    if not await _transition(
        transaction,
        rollout,
        phase=Phase.SETTLED,
        active_version=rollout.version,
        pending_version=None,
        activated_revision=rollout.revision,
        ready=ready,
        stopped=False,
        updated_ms=now_ms,
        last_update=LastUpdate.NOT_UPDATING,
        last_update_message="",
    ):
        return False
    await refusals.remove_before(transaction, rollout.endpoint_id, rollout.revision)
    await refusals.keep_unready(transaction, rollout.endpoint_id)
    await _record_success(transaction, rollout)
    # No worker asks those of the version before any longer.
    await version_groups.settle(transaction, rollout.endpoint_id)
    await rollout_records.note_end(transaction, rollout.version_key, now_ms)
    await change_log.note(transaction, rollout.endpoint_id)
    return True


async def fail(
    transaction: Transaction, rollout: RolloutState, reason: str, now_ms: int, aborted: str = ""
) -> bool:
    """End a rollout in failure: PREPARING to SETTLED. Return whether it happened here.

    Args:
        transaction: Where to write.
        rollout: The rollout.
        reason: Why, for the person who made the version.
        now_ms: The time.
        aborted: What is told of those of its groups that did not fail themselves; empty: `reason`.
    """
    if not await _transition(
        transaction,
        rollout,
        phase=Phase.SETTLED,
        last_update=LastUpdate.FAILED,
        last_update_message=reason,
    ):
        return False
    await _set_outcome(transaction, rollout, Outcome.FAILED, reason)
    # Before the revision, see `groups.lock`.
    await groups.lock_of_endpoint(transaction, rollout.endpoint_id)
    await transaction.revise(EventKind.ENDPOINT, rollout.endpoint_id)
    await version_groups.give_up(transaction, rollout.endpoint_id, aborted or reason)
    await rollout_records.note_end(transaction, rollout.version_key, now_ms)
    await change_log.note(transaction, rollout.endpoint_id)
    return True


async def has_unready(session: Session, acked_revision: int | None = None) -> bool:
    """Tell whether `mark_ready` would find an endpoint; without a revision: at any."""
    query = select(EndpointRow.id).where(*_unready(acked_revision)).limit(1)
    return (await session.exec(query)).first() is not None


async def mark_ready(transaction: Transaction, acked_revision: int) -> None:
    """Mark the endpoints whose active version is part of a revision that a worker has applied."""
    applied = update(EndpointRow).where(*_unready(acked_revision)).values(ready=True)
    await _note_changed(transaction, applied)


async def has_ready(session: Session) -> bool:
    """Tell whether any endpoint is marked as ready."""
    query = select(EndpointRow.id).where(col(EndpointRow.ready).is_(True)).limit(1)
    return (await session.exec(query)).first() is not None


async def mark_unserved(transaction: Transaction) -> None:
    """Mark all endpoints as not ready: there is no worker that serves them."""
    served = update(EndpointRow).where(col(EndpointRow.ready).is_(True)).values(ready=False)
    await _note_changed(transaction, served)


async def _note_changed(transaction: Transaction, statement: Update) -> None:
    changed = await transaction.session.exec(statement.returning(col(EndpointRow.id)))
    if ids := [str(endpoint_id) for endpoint_id in changed.scalars()]:
        await change_log.note_all(transaction, ids)


def _unready(acked_revision: int | None) -> Iterator[ColumnElement[bool]]:
    yield col(EndpointRow.ready).is_(False)
    yield col(EndpointRow.active_version).is_not(None)
    yield col(EndpointRow.phase) == Phase.SETTLED
    if acked_revision is not None:
        yield col(EndpointRow.activated_revision) <= acked_revision
    yield ~refusals.unserved()


def _is_pending() -> ColumnElement[bool]:
    return and_(
        col(EndpointConfigRow.endpoint_id) == col(EndpointRow.id),
        col(EndpointConfigRow.version) == col(EndpointRow.pending_version),
    )


async def _transition(transaction: Transaction, rollout: RolloutState, **values: object) -> bool:
    statement = (
        update(EndpointRow)
        .where(
            col(EndpointRow.id) == rollout.endpoint_id,
            col(EndpointRow.phase) == rollout.phase,
            col(EndpointRow.pending_version) == rollout.version,
        )
        .values(**values)
    )
    result = await transaction.session.exec(statement)
    return isinstance(result, CursorResult) and result.rowcount == 1


async def _record_success(transaction: Transaction, rollout: RolloutState) -> None:
    await transaction.session.exec(
        update(EndpointConfigRow)
        .where(
            col(EndpointConfigRow.endpoint_id) == rollout.endpoint_id,
            col(EndpointConfigRow.outcome) == Outcome.ACTIVE,
        )
        .values(outcome=Outcome.SUPERSEDED)
    )
    await _set_outcome(transaction, rollout, Outcome.ACTIVE, "")


async def _set_outcome(
    transaction: Transaction, rollout: RolloutState, outcome: Outcome, message: str
) -> None:
    await transaction.session.exec(
        update(EndpointConfigRow)
        .where(
            col(EndpointConfigRow.endpoint_id) == rollout.endpoint_id,
            col(EndpointConfigRow.version) == rollout.version,
        )
        .values(outcome=outcome, outcome_message=message)
    )


def _group_ids(hosted: bytes | None) -> tuple[str, ...]:
    return tuple(model.group_id for model in version_groups.models_of(hosted))
