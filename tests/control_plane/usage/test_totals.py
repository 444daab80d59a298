"""Totals of hours and days are the sums of their queries, whatever comes late and from wherever."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import count
from random import Random
from typing import Any, NamedTuple

import pytest
from modelserving.worker.v1.usage_service_pb2 import UsageEntry
from sqlmodel import col, delete, select

from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.states import TotalState, UsageState
from modelplane.control_plane.store.usage import spans, totals
from modelplane.control_plane.store.usage.filters import UsageFilter
from modelplane.control_plane.store.usage.margins import MARGINS
from modelplane.control_plane.store.usage.periods import Period
from modelplane.control_plane.store.usage.tables import (
    UsageMarginRow,
    UsagePeriodRow,
    UsageRow,
    UsageSpanRow,
    UsageTotalRow,
)
from modelplane.control_plane.usage.intake import UsageIntake
from modelplane.control_plane.usage.reader import UsageReader
from modelplane.control_plane.usage.totals import UsageTotals
from tests.control_plane.conftest import ALICE, FakeClock
from tests.control_plane.usage.test_reader import (
    DAY_MS,
    EVERYTHING,
    HOUR_MS,
    JOURNAL,
    begun,
    ended,
    key,
    unknown,
)
from tests.effort import times

Found = dict[tuple[Any, ...], dict[str, object]]


class Ledger(NamedTuple):
    """The ledger, and who writes it, reads it and sums it up."""

    database: Database
    intake: UsageIntake
    usage: UsageReader
    maker: UsageTotals
    clock: FakeClock


@pytest.fixture
def ledger(database: Database, intake: UsageIntake, usage: UsageReader, clock: FakeClock) -> Ledger:
    return Ledger(database, intake, usage, UsageTotals(database, clock, retention_days=90), clock)


async def settle(maker: UsageTotals) -> None:
    """Mark, find nothing changed, and sum up."""
    for _ in range(3):
        await maker.make()


async def ask(
    usage: UsageReader, group_by: Sequence[str] = (), selected: UsageFilter = EVERYTHING
) -> Found:
    totals = await usage.totals(ALICE, selected, group_by, percentiles=True)
    # Who asks for no latencies is told the same else.
    plain = await usage.totals(ALICE, selected, group_by)
    assert [(one.values, one.sums, one.group.cost) for one in plain] == [
        (one.values, one.sums, one.group.cost) for one in totals
    ]
    assert not any(one.group.latencies for one in plain)
    return {
        total.values: {
            **{
                name: None if value is None else round(value, 3)
                for name, value in total.sums.items()
            },
            "latencies": dict(total.group.latencies) if total.group.has_all_latencies else None,
            "cost": total.group.cost,
            "unpriced": total.group.unpriced,
        }
        for total in totals
    }


async def valid(database: Database) -> Counter[int]:
    async with database.read() as session:
        query = select(UsagePeriodRow.length_ms).where(
            col(UsagePeriodRow.state) == TotalState.TOTALS
        )
        return Counter((await session.exec(query)).all())


async def forget_totals(database: Database) -> None:
    async with database.write() as transaction:
        for table in (UsagePeriodRow, UsageSpanRow, UsageTotalRow, UsageMarginRow):
            await transaction.session.exec(delete(table))


def twice(number: int, **changes: Any) -> list[UsageEntry]:
    """Return two queries that are alike, of which a total is worth having."""
    return [ended(number, **changes), ended(number + 1, **changes)]


def days_ago(clock: FakeClock, days: int) -> int:
    """Return the start of that day."""
    return (clock.now_ms // DAY_MS - days) * DAY_MS


async def test_what_is_over_is_read_from_totals(ledger: Ledger) -> None:
    database, intake, usage, maker, clock = ledger
    midnight = days_ago(clock, 0)
    entries = [
        *twice(1, time_ms=midnight - DAY_MS),
        *twice(3, time_ms=midnight - 1),
        *twice(5, time_ms=midnight, status=429),
        *twice(7, time_ms=clock.now_ms),
    ]
    await intake.record(JOURNAL, entries)
    before = await ask(usage, ["endpoint"])
    refused = UsageFilter(status=(400, 500), state=UsageState.ENDED)
    refused_before = await ask(usage, [], refused)
    await settle(maker)
    counted = await valid(database)
    assert counted[DAY_MS] == 1
    assert counted[HOUR_MS] > 24
    # Hours without queries, too, are not looked at again.
    async with database.read() as session:
        assert all(mark.is_made for mark in (await totals.read_marks(session)).values())
    # Only the hour that is not over is read query by query: the rest may even be gone.
    async with database.write() as transaction:
        old = col(UsageRow.time_ms) < clock.now_ms
        await transaction.session.exec(delete(UsageRow).where(old))
    assert await ask(usage, ["endpoint"]) == before
    assert await ask(usage, [], refused) == refused_before
    assert refused_before[()]["requests"] == 2
    assert before[("chat",)]["requests"] == 8
    assert before[("chat",)]["failed_requests"] == 2
    hours = await ask(usage, ["hour"], UsageFilter(end_ms=midnight))
    assert [hour for (hour,) in hours] == [midnight - DAY_MS, midnight - HOUR_MS]


async def test_an_outcome_that_comes_late_is_in_the_totals(ledger: Ledger) -> None:
    database, intake, usage, maker, clock = ledger
    then = days_ago(clock, 2)
    await intake.record(JOURNAL, [begun(1, time_ms=then), *twice(2, time_ms=then)])
    await intake.record(JOURNAL, twice(4, time_ms=then))
    await settle(maker)
    assert (await ask(usage))[()]["output_token_count"] == 80
    await intake.record(JOURNAL, [ended(1, time_ms=then, status=500)])
    for _ in range(3):
        assert (await ask(usage))[()]["output_token_count"] == 100
        assert (await ask(usage))[()]["failed_requests"] == 1
        await maker.make()
    assert (await valid(database))[DAY_MS] == 2
    # A worker is lost: what it was at is closed.
    await intake.record(b"journal2", [begun(3, key=key(3, b"journal2"), time_ms=then)])
    await settle(maker)
    clock.now_ms += 700_000
    await intake.record(JOURNAL, [])
    await intake.sweep()
    assert (await ask(usage))[()]["unknown_requests"] == 1


async def test_what_comes_while_an_hour_is_summed_up_is_not_lost(
    database: Database, intake: UsageIntake, usage: UsageReader, clock: FakeClock
) -> None:
    then = days_ago(clock, 1)
    makers = [UsageTotals(database, clock, retention_days=90) for _ in range(2)]
    await intake.record(JOURNAL, [ended(0, time_ms=then)])

    async def come(numbers: range) -> None:
        for number in numbers:
            await intake.record(JOURNAL, [ended(number, time_ms=then + number * 600_000)])

    for start in range(1, 100, 20):
        numbers = range(start, start + 20)
        await asyncio.gather(come(numbers), *(maker.make() for maker in makers))
        assert (await ask(usage))[()]["requests"] == numbers.stop
    for maker in makers:
        await settle(maker)
    assert (await ask(usage))[()]["requests"] == 101
    assert (await valid(database))[HOUR_MS] >= 16


async def test_what_came_since_is_not_covered_by_what_was_summed_up(ledger: Ledger) -> None:
    database, intake, usage, maker, clock = ledger
    then = days_ago(clock, 1)
    await intake.record(JOURNAL, twice(1, time_ms=then))
    await maker.make()
    hour = Period(HOUR_MS, then)
    async with database.report() as session:
        mark = (await totals.read_marks(session))[hour]
        sums = await totals.sum_period(
            session, hour, of_hours=False, is_postgresql=database.is_postgresql
        )
    await intake.record(JOURNAL, twice(3, time_ms=then))
    async with database.write() as transaction:
        state = await totals.store_totals(transaction, hour, mark.changes, sums)
    assert state is TotalState.CHANGED
    assert (await ask(usage))[()]["requests"] == 4
    await settle(maker)
    assert (await valid(database))[HOUR_MS] > 0
    assert (await ask(usage))[()]["requests"] == 4


async def test_random_histories_have_the_totals_of_their_queries(ledger: Ledger) -> None:
    database, intake, usage, maker, clock = ledger
    random = Random(7)
    first = days_ago(clock, 5)

    def entry(number: int) -> UsageEntry:
        fields: dict[str, Any] = {
            "time_ms": random.randrange(first, clock.now_ms),
            "requester": random.choice(("bob", "carol")),
            "client": random.choice(("", "codex")),
        }
        if random.random() < 0.2:
            return begun(number, **fields)
        return ended(number, status=random.choice((200, 200, 429, 500)), **fields)

    for turn in range(6):
        entries = [entry(number) for number in range(turn * 40, turn * 40 + 50)]
        await intake.record(JOURNAL, [*entries, unknown(turn * 40)])
        if turn % 3 != 2:
            await maker.make()
    questions = [
        (group_by, UsageFilter(start_ms=start, end_ms=end, requester=requester))
        for group_by in (
            ["day", "requester"],
            ["requester", "client"],
            ["hour", "status_code", "client"],
            ["status_code"],
            ["hour"],
            [],
        )
        for start, end in (
            (None, None),
            (first + HOUR_MS + 1, None),
            (first, first + 3 * DAY_MS - 5),
        )
        for requester in (None, "carol")
    ][:: times(few=5, many=1)]
    with_some = [await ask(usage, *question) for question in questions]
    await settle(maker)
    assert (await valid(database))[DAY_MS] >= 4
    with_all = [await ask(usage, *question) for question in questions]
    await forget_totals(database)
    of_queries = [await ask(usage, *question) for question in questions]
    assert with_some == of_queries
    assert with_all == of_queries


async def test_what_is_asked_of_one_dimension_is_read_from_margins(ledger: Ledger) -> None:
    database, intake, usage, maker, clock = ledger
    midnight = days_ago(clock, 0)
    entries = [
        *twice(1, time_ms=midnight - DAY_MS, requester="bob"),
        *twice(3, time_ms=midnight - 1, requester="carol", client="codex"),
        *twice(5, time_ms=midnight - 1, requester="bob", status=429),
    ]
    await intake.record(JOURNAL, entries)
    questions: list[tuple[list[str], UsageFilter]] = [
        *(([name], EVERYTHING) for name in MARGINS if name != "all"),
        ([], EVERYTHING),
        (["day"], EVERYTHING),
        (["hour", "endpoint"], EVERYTHING),
        (["hour"], UsageFilter(requester="bob", start_ms=midnight - HOUR_MS)),
        (["client"], UsageFilter(client="codex")),
    ]
    before = [await ask(usage, *question) for question in questions]
    await settle(maker)
    async with database.write() as transaction:
        for table in (UsageRow, UsageTotalRow):
            await transaction.session.exec(delete(table))
    assert [await ask(usage, *question) for question in questions] == before
    assert await ask(usage, ["endpoint", "requester"]) == {}


@pytest.mark.parametrize(
    "selected",
    [
        UsageFilter(status=(400, 500)),
        UsageFilter(state=UsageState.UNKNOWN),
        UsageFilter(min_latency_ms=1e9),
        UsageFilter(request_id="none"),
        UsageFilter(endpoint=""),
        UsageFilter(served_entity=""),
    ],
)
async def test_margins_tell_nothing_of_what_they_do_not_know(
    ledger: Ledger, selected: UsageFilter
) -> None:
    _, intake, usage, maker, clock = ledger
    then = days_ago(clock, 1)
    entries = [*twice(1, time_ms=then), *twice(3, time_ms=then, status=429)]
    await intake.record(JOURNAL, entries)
    questions = [[], ["requester"], ["status_code"], ["day"]]
    before = [await ask(usage, group_by, selected) for group_by in questions]
    assert before != [await ask(usage, group_by) for group_by in questions]
    await settle(maker)
    assert [await ask(usage, group_by, selected) for group_by in questions] == before


async def test_an_older_control_planes_totals_get_margins_and_do_not_keep_stale_ones(
    ledger: Ledger,
) -> None:
    database, intake, usage, maker, clock = ledger
    then = days_ago(clock, 1)
    await intake.record(JOURNAL, twice(1, time_ms=then))
    await settle(maker)
    await intake.record(JOURNAL, twice(3, time_ms=then))
    async with database.write() as transaction:
        # It sums up what came since, and knows nothing of margins.
        for length_ms in (HOUR_MS, DAY_MS):
            period = Period(length_ms, then)
            sums = await totals.sum_period(
                transaction.session, period, of_hours=False, is_postgresql=database.is_postgresql
            )
            assert await totals.store_totals(transaction, period, 1, sums) is TotalState.TOTALS
    assert (await ask(usage))[()]["requests"] == 4
    await settle(maker)
    async with database.write() as transaction:
        for table in (UsageRow, UsageTotalRow):
            await transaction.session.exec(delete(table))
    assert (await ask(usage))[()]["requests"] == 4


async def test_a_dimension_of_which_each_query_is_another_has_no_margins(ledger: Ledger) -> None:
    database, intake, usage, maker, clock = ledger
    then = days_ago(clock, 1)
    entries = [ended(number, time_ms=then, requester=f"user-{number}") for number in range(4)]
    await intake.record(JOURNAL, entries)
    await settle(maker)
    async with database.read() as session:
        query = select(UsageMarginRow.dimension, UsageMarginRow.length_ms)
        kept = (await session.exec(query)).all()
    assert {dimension for dimension, _ in kept} == {*MARGINS} - {"requester"}
    assert len(kept) == 2 * (len(MARGINS) - 1)
    assert len(await ask(usage, ["requester"])) == 4


async def test_totals_go_with_their_queries(ledger: Ledger) -> None:
    database, intake, usage, maker, clock = ledger
    then = days_ago(clock, 1)
    early, late = twice(1, time_ms=then), twice(3, time_ms=then + 7 * HOUR_MS)
    await intake.record(JOURNAL, [*early, *late])
    await settle(maker)
    clock.now_ms = then + 90 * DAY_MS + 3 * HOUR_MS
    await intake.record(JOURNAL, [])
    await intake.sweep()
    assert (await ask(usage))[()]["requests"] == 2
    async with database.read() as session:
        for table in (UsageTotalRow, UsageMarginRow):
            left = (await session.exec(select(table.start_ms))).all()
            assert min(left) >= then + 3 * HOUR_MS


async def test_a_time_long_ago_makes_no_million_hours(
    ledger: Ledger,
) -> None:
    database, intake, _, maker, _ = ledger
    await intake.record(JOURNAL, [ended(1, time_ms=5), ended(2)])
    await maker.make()
    async with database.read() as session:
        assert len((await session.exec(select(UsagePeriodRow))).all()) <= 90 * 25 + 2


def spread(numbers: Iterator[int], since_ms: int, days: int) -> list[UsageEntry]:
    """Return queries of some days, of two kinds each, of which totals are worth having."""
    return [
        ended(next(numbers), time_ms=since_ms + day * DAY_MS, requester=requester)
        for day in range(days)
        for requester in ("bob", "carol")
        for _ in range(3)
    ]


async def kept_spans(database: Database) -> Counter[float]:
    """Return how many spans have totals, by their days."""
    async with database.read() as session:
        query = select(UsageSpanRow.length_ms).where(col(UsageSpanRow.has_totals))
        return Counter(length / DAY_MS for length in (await session.exec(query)).all())


async def totals_of(database: Database, length_ms: int) -> int:
    async with database.read() as session:
        query = select(UsageTotalRow.id).where(col(UsageTotalRow.length_ms) == length_ms)
        return len((await session.exec(query)).all())


PAIR = ["requester", "status_code"]


async def test_a_long_time_is_read_from_totals_of_many_days(ledger: Ledger) -> None:
    database, intake, usage, maker, clock = ledger
    numbers = count(1)
    # Of four days that begin together, each stored on its own day.
    first = (clock.now_ms // DAY_MS // 4 - 1) * 4 * DAY_MS
    for day in range(5):
        clock.now_ms = first + (day + 1) * DAY_MS + HOUR_MS
        await intake.record(JOURNAL, spread(numbers, first + day * DAY_MS, 1))
    before = await ask(usage, PAIR)
    await settle(maker)
    kept = await kept_spans(database)
    assert (kept[4], kept[2]) == (1, 2)
    # Those who asked on several days are alike in all that can be asked for.
    assert await totals_of(database, 4 * DAY_MS) == 2
    assert await ask(usage, PAIR) == before
    # It is they that are read: what they are made of may be gone.
    async with database.write() as transaction:
        end = first + 4 * DAY_MS
        old = col(UsageTotalRow.start_ms) < end
        shorter = col(UsageTotalRow.length_ms) < 4 * DAY_MS
        await transaction.session.exec(delete(UsageTotalRow).where(old, shorter))
        await transaction.session.exec(delete(UsageRow).where(col(UsageRow.time_ms) < end))
    assert await ask(usage, PAIR) == before


async def test_what_comes_late_ends_the_spans_that_it_is_in(ledger: Ledger) -> None:
    database, intake, usage, maker, clock = ledger
    numbers = count(1)
    first = (clock.now_ms // DAY_MS // 2 - 2) * 2 * DAY_MS
    await intake.record(JOURNAL, spread(numbers, first, 4))
    await settle(maker)
    assert (await kept_spans(database))[2] == 2
    late = ended(next(numbers), time_ms=first + DAY_MS, requester="carol")
    await intake.record(JOURNAL, [late])
    found = await ask(usage, PAIR)
    assert sum(int(str(values["requests"])) for values in found.values()) == 4 * 6 + 1
    await settle(maker)
    await maker.make()
    assert await ask(usage, PAIR) == found
    await forget_totals(database)
    assert await ask(usage, PAIR) == found


async def test_of_two_replicas_that_make_a_span_one_does(ledger: Ledger) -> None:
    database, intake, usage, maker, clock = ledger
    first = (clock.now_ms // DAY_MS // 2 - 1) * 2 * DAY_MS
    await intake.record(JOURNAL, spread(count(1), first, 2))
    await settle(maker)
    found = await ask(usage, PAIR)
    span = Period(2 * DAY_MS, first)
    async with database.report() as session:
        whole = (span.start_ms, span.end_ms)
        marks = await spans.read_marks(session, spans.is_known(), whole, with_spans=True)
        changes = marks.changes_of(span)
        assert changes is not None
        sums = await spans.sum_span(session, span, marks, is_postgresql=database.is_postgresql)
    # One has seen what came since, the other has not, and neither stores beside the other.
    await intake.record(JOURNAL, [ended(1_000, time_ms=first + HOUR_MS)])
    for _ in range(2):
        async with database.write() as transaction:
            await spans.store_span(transaction, span, marks, changes, sums)
    told = await ask(usage, PAIR)
    assert told != found
    assert await totals_of(database, 2 * DAY_MS) == 2
    await forget_totals(database)
    assert await ask(usage, PAIR) == told


async def test_a_day_that_goes_on_is_read_from_its_parts(ledger: Ledger) -> None:
    database, intake, usage, maker, clock = ledger
    today = days_ago(clock, 0)
    clock.now_ms = today + 14 * HOUR_MS
    # So few in each hour that it has no totals itself.
    entries = [ended(number, time_ms=today + number % 14 * HOUR_MS) for number in range(42)]
    entries += [ended(100 + hour, status=429, time_ms=today + hour * HOUR_MS) for hour in range(14)]
    await intake.record(JOURNAL, entries)
    before = await ask(usage, PAIR)
    await settle(maker)
    assert (await kept_spans(database))[0.5] == 1
    assert await ask(usage, PAIR) == before
    # What comes later in the day is of no part that is over, nor of its first hour.
    await intake.record(JOURNAL, [ended(500, time_ms=today + 13 * HOUR_MS)])
    async with database.read() as session:
        marks = await totals.read_marks(session)
    assert marks[Period(HOUR_MS, today)].is_made
    # Once it is long over, days tell.
    clock.now_ms += 4 * DAY_MS
    await settle(maker)
    async with database.read() as session:
        query = select(UsageSpanRow.start_ms).where(col(UsageSpanRow.length_ms) < DAY_MS)
        assert min((await session.exec(query)).all()) == today + 2 * DAY_MS
