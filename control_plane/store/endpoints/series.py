"""The course of what workers count of each endpoint, in steps of three lengths.

Before: `endpoints.metrics`, which writes it, and `traffic.series`. Neighbours: `metrics`, `tables`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import and_, func, or_
from sqlmodel import col, delete, select, update

from modelplane.control_plane.store.database import Session, Transaction, in_parts
from modelplane.control_plane.store.endpoints.metrics import lock_totals
from modelplane.control_plane.store.endpoints.tables import RolloutRow
from modelplane.control_plane.store.states import Outcome
from modelplane.control_plane.store.tables import (
    EndpointConfigRow,
    EndpointMetricsRow,
    SeriesRow,
)
from modelplane.control_plane.store.upsert import insert

LIVE_SECONDS, MINUTE_SECONDS, HOUR_SECONDS = 5, 60, 3600
LIVE_KEPT_MS = 15 * 60_000
# How long steps are kept, by their seconds, which bounds the rows of an endpoint.
KEPT_MS = {
    LIVE_SECONDS: LIVE_KEPT_MS,
    MINUTE_SECONDS: 6 * 3_600_000,
    HOUR_SECONDS: 14 * 86_400_000,
}
_SERVED = (Outcome.ACTIVE, Outcome.SUPERSEDED)
# That somebody looks is stored so often at most.
_RENEWED_BEFORE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Opening:
    """What had been counted of a served entity when a step began.

    Attributes:
        endpoint_id: The endpoint.
        step_seconds: Length of the step.
        step: Its number since the epoch.
        entity: Name of the served entity.
        counts: `SeriesCounts`, serialized.
    """

    endpoint_id: str
    step_seconds: int
    step: int
    entity: str
    counts: bytes


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is recorded of an endpoint.

    Attributes:
        openings: Of one length of steps, in order.
        totals: What is counted now, JSON.
        from_ms: Since when minutes and hours are recorded; 0: since the endpoint was made.
        live_from_ms: Since when steps of five seconds are.
        live_until_ms: Until when these are.
    """

    openings: Sequence[Opening]
    totals: str
    from_ms: int
    live_from_ms: int
    live_until_ms: int

    def is_looked_at(self, now_ms: int) -> bool:
        """Whether steps of five seconds are recorded, and go on to be for a while."""
        return self.live_until_ms > now_ms + LIVE_KEPT_MS - _RENEWED_BEFORE_MS


async def save_openings(transaction: Transaction, openings: Sequence[Opening]) -> None:
    """Store openings of endpoints whose totals are locked; those that are there stay."""
    if not openings:
        return
    rows = [
        {
            "endpoint_id": one.endpoint_id,
            "step_seconds": one.step_seconds,
            "step": one.step,
            "served_entity_name": one.entity,
            "counts": one.counts,
        }
        for one in openings
    ]
    connection = await transaction.session.connection()
    statement = insert(transaction.session, SeriesRow).on_conflict_do_nothing()
    await connection.execute(statement, rows)


async def forget(transaction: Transaction, endpoint_ids: Collection[str], now_ms: int) -> None:
    """Delete what is kept no longer of endpoints whose totals are locked."""
    old = or_(
        *(
            and_(
                col(SeriesRow.step_seconds) == seconds,
                col(SeriesRow.step) < (now_ms - kept_ms) // (seconds * 1000),
            )
            for seconds, kept_ms in KEPT_MS.items()
        )
    )
    for part in in_parts(sorted(endpoint_ids)):
        mine = col(SeriesRow.endpoint_id).in_(part)
        await transaction.session.exec(delete(SeriesRow).where(mine, old))


async def forget_after(
    transaction: Transaction, endpoint_ids: Collection[str], last_ms: int
) -> None:
    """Delete steps that begin after a time, of endpoints whose totals are locked.

    What a clock wrote that was ahead would end the steps from now on, and begin others later.
    """
    late = or_(
        *(
            and_(
                col(SeriesRow.step_seconds) == seconds,
                col(SeriesRow.step) > last_ms // (seconds * 1000),
            )
            for seconds in KEPT_MS
        )
    )
    for part in in_parts(sorted(endpoint_ids)):
        mine = col(SeriesRow.endpoint_id).in_(part)
        await transaction.session.exec(delete(SeriesRow).where(mine, late))


async def look(transaction: Transaction, endpoint_id: str, now_ms: int) -> None:
    """Have steps of five seconds recorded for a while; without the endpoint nothing is."""
    locked = (await lock_totals(transaction, [endpoint_id])).get(endpoint_id)
    if locked is None:
        return
    values = {"live_until_ms": now_ms + LIVE_KEPT_MS}
    if locked.live_until_ms <= now_ms:
        values["live_from_ms"] = now_ms
    mine = col(EndpointMetricsRow.endpoint_id) == endpoint_id
    await transaction.session.exec(update(EndpointMetricsRow).where(mine).values(**values))


async def read(session: Session, endpoint_id: str, step_seconds: int, first_step: int) -> Recorded:
    """Return what is recorded of an endpoint from a step on."""
    # The totals after the steps: they are to have counted all that these have.
    query = (
        select(SeriesRow.step, SeriesRow.served_entity_name, SeriesRow.counts)
        .where(
            col(SeriesRow.endpoint_id) == endpoint_id,
            col(SeriesRow.step_seconds) == step_seconds,
            col(SeriesRow.step) >= first_step,
        )
        .order_by(col(SeriesRow.step))
    )
    openings = [
        Opening(endpoint_id, step_seconds, *row) for row in (await session.exec(query)).all()
    ]
    row = await session.get(EndpointMetricsRow, endpoint_id)
    if row is None:
        return Recorded((), "{}", 0, 0, 0)
    return Recorded(
        openings, row.totals_json, row.series_from_ms, row.live_from_ms, row.live_until_ms
    )


async def read_activations(
    session: Session, endpoint_id: str, since_ms: int
) -> list[tuple[int, int]]:
    """Return when versions began to serve since then, and which; of some, when they were made."""
    version = col(EndpointConfigRow.version)
    same = and_(
        col(RolloutRow.endpoint_id) == col(EndpointConfigRow.endpoint_id),
        col(RolloutRow.version) == version,
    )
    # How the versions of long ago were rolled out is not known any more.
    time_ms = func.coalesce(col(RolloutRow.ended_ms), col(EndpointConfigRow.created_ms))
    query = (
        select(time_ms, version)
        .select_from(EndpointConfigRow)
        .outerjoin(RolloutRow, same)
        .where(
            col(EndpointConfigRow.endpoint_id) == endpoint_id,
            col(EndpointConfigRow.outcome).in_(_SERVED),
            time_ms >= since_ms,
        )
        .order_by(time_ms)
    )
    return [(time, number) for time, number in (await session.exec(query)).all()]
