"""Makes the margins of a period: sums by one dimension, of its totals or of its queries.

Before: `usage.totals`. After: `sources`, `margins`, which stores them.
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import bindparam, null
from sqlmodel import String, cast, col

from modelplane.control_plane.store.database import Session
from modelplane.control_plane.store.usage.groups import COUNTS
from modelplane.control_plane.store.usage.latencies import add_text, chunks, encode
from modelplane.control_plane.store.usage.margins import ALL, MARGINS, WORTH, Margin
from modelplane.control_plane.store.usage.periods import Period
from modelplane.control_plane.store.usage.sources import ORIGIN, ROWS, TOTALS
from modelplane.control_plane.store.usage.tables import UsageOriginRow, UsageTotalRow

# Characters of latencies after which others have their turn, of several texts and of one.
_TURN = 100_000
_LONG = 10_000
# Of a period without queries.
NO_MARGINS: Mapping[str, Sequence[Margin]] = dict.fromkeys(MARGINS, ())


async def sum_margins(
    session: Session, period: Period, *, of_totals: bool, is_postgresql: bool
) -> Mapping[str, Sequence[Margin]]:
    """Return the margins of a period that are worth it, by dimension.

    Args:
        session: Reads.
        period: The hour or the day.
        of_totals: Whether it has totals, which are fewer than its queries.
        is_postgresql: Whether the database is PostgreSQL.
    """
    values = {"start": period.start_ms, "end": period.end_ms}
    if of_totals:
        values["length"] = period.length_ms
    margins: dict[str, Sequence[Margin]] = {}
    requests = 0
    for name in MARGINS:
        query = _statement(name, of_totals=of_totals, is_postgresql=is_postgresql)
        found = await _sum(session, query, values)
        if name == ALL:
            requests = sum(int(margin.sums["requests"] or 0) for margin in found)
            if not requests:
                return NO_MARGINS
        if len(found) * WORTH <= requests:
            margins[name] = found
    return margins


async def compact(text: str) -> str:
    """Return what a text of latencies tells, each bucket once."""
    counts: dict[int, int] = {}
    for part in chunks(text):
        add_text(counts, part)
        if len(part) > _LONG:
            await asyncio.sleep(0)
    return encode(counts)


@lru_cache(maxsize=64)
def _statement(name: str, *, of_totals: bool, is_postgresql: bool) -> Any:  # noqa: ANN401 - of many columns
    """Return the statement that tells the margins of a dimension, built once for all periods."""
    source = TOTALS if of_totals else ROWS
    where = [source.time_ms >= bindparam("start"), source.time_ms < bindparam("end")]
    if of_totals:
        where.append(col(UsageTotalRow.length_ms) == bindparam("length"))
    value = null() if name == ALL else source.group(name, is_postgresql=is_postgresql)
    of = [cast(value, String), ORIGIN["provider"], ORIGIN["model"]]

    def joined(query: Any) -> Any:  # noqa: ANN401 - a statement
        origin = col(UsageOriginRow.id) == col(source.row.origin_id)
        return query.select_from(source.row).join(UsageOriginRow, origin).where(*where)

    query, _ = source.summed(of, joined, is_postgresql=is_postgresql)
    return query


async def _sum(session: Session, query: Any, values: Mapping[str, int]) -> list[Margin]:  # noqa: ANN401 - a statement
    rows = (await session.exec(query, params=values)).all()
    margins, since = [], 0
    for row in rows:
        told_value, provider, model, *counts, text, untold = tuple(row)
        since += len(text or "")
        if since > _TURN:
            since = 0
            await asyncio.sleep(0)
        told = None if untold else await compact(text or "")
        numbers = dict(zip(COUNTS, counts, strict=True))
        margins.append(Margin(told_value, provider, model, numbers, told))
    return margins
