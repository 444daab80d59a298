"""What workers send is stored once, closed when they are away, and deleted when it is old."""

import asyncio
from itertools import permutations

import pytest
from modelserving.worker.v1.usage_service_pb2 import UsageEntry
from sqlmodel import select

from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.states import UsageState
from modelplane.control_plane.store.usage.tables import UsageJournalRow, UsageOriginRow
from modelplane.control_plane.usage.intake import UsageIntake
from modelplane.control_plane.usage.reader import UsageReader
from tests.control_plane.conftest import FakeClock
from tests.control_plane.usage.test_reader import (
    DAY_MS,
    HOUR_MS,
    JOURNAL,
    begun,
    ended,
    key,
    rows,
    unknown,
)


async def origins(database: Database) -> int:
    async with database.read() as session:
        return len((await session.exec(select(UsageOriginRow))).all())


async def seen_ms(database: Database) -> int:
    async with database.read() as session:
        return (await session.exec(select(UsageJournalRow.seen_ms))).one()


@pytest.mark.parametrize("order", [*permutations((begun(), ended(), unknown()))])
async def test_an_outcome_wins_whatever_comes_when(
    intake: UsageIntake, usage: UsageReader, order: tuple[UsageEntry, ...]
) -> None:
    for entry in (*order, *order):
        await intake.record(JOURNAL, [entry])
    [row] = await rows(usage)
    assert row.state is UsageState.ENDED
    assert (row.output_tokens, row.served_entity_name) == (20, "second")


async def test_what_comes_twice_in_one_batch_is_one_row(
    intake: UsageIntake, usage: UsageReader
) -> None:
    await intake.record(JOURNAL, [begun(), ended(), ended(), unknown(), begun()])
    [row] = await rows(usage)
    assert row.state is UsageState.ENDED


async def test_queries_with_one_request_id_are_rows_of_their_own(
    intake: UsageIntake, usage: UsageReader
) -> None:
    await intake.record(JOURNAL, [ended(1), ended(2)])
    assert [row.id for row in await rows(usage)] == [key(2).hex(), key(1).hex()]


async def test_replicas_that_store_the_same_at_once_store_it_once(
    intake: UsageIntake, usage: UsageReader
) -> None:
    entries = [ended(number) for number in range(100)]
    batches = [entries, entries[::-1], entries[50:] + entries[:50]]
    await asyncio.gather(*(intake.record(JOURNAL, batch) for batch in batches))
    assert len(await rows(usage)) == 100


async def test_an_entry_that_is_none_holds_up_no_other(
    intake: UsageIntake, usage: UsageReader
) -> None:
    await intake.record(JOURNAL, [ended(1, requester="b\0b"), UsageEntry(key=b"short"), ended(2)])
    assert [row.requester for row in await rows(usage)] == ["bob", "bb"]


async def test_a_worker_that_is_away_for_long_has_its_queries_closed(
    intake: UsageIntake, usage: UsageReader, clock: FakeClock
) -> None:
    await intake.record(JOURNAL, [begun(1), ended(2)])
    await intake.record(b"journal2", [begun(3, key=key(3, b"journal2"))])
    clock.now_ms += 599_000
    await intake.record(b"journal2", [])
    await intake.sweep()
    assert [row.state for row in await rows(usage)] == ["RUNNING", "ENDED", "RUNNING"]
    clock.now_ms += 2_000
    await intake.sweep()
    assert [row.state for row in await rows(usage)] == ["RUNNING", "ENDED", "UNKNOWN"]
    # It was not dead after all.
    await intake.record(JOURNAL, [ended(1)])
    assert [row.state for row in await rows(usage)] == ["RUNNING", "ENDED", "ENDED"]


async def test_a_control_plane_that_was_away_itself_is_patient(
    database: Database, usage: UsageReader, clock: FakeClock, intake: UsageIntake
) -> None:
    await intake.record(JOURNAL, [begun()])
    clock.now_ms += 3_600_000
    restarted = UsageIntake(database, clock, retention_days=90, lost_seconds=600, steady=clock)
    clock.now_ms += 599_000
    await restarted.sweep()
    assert [row.state for row in await rows(usage)] == ["RUNNING"]


@pytest.mark.parametrize("jump_ms", [-3_600_000, 3_600_000, 365 * DAY_MS])
async def test_a_clock_that_is_set_loses_no_living_worker_and_no_row(
    database: Database, usage: UsageReader, clock: FakeClock, jump_ms: int
) -> None:
    steady = FakeClock()
    intake = UsageIntake(database, clock, retention_days=90, lost_seconds=600, steady=steady)

    def pass_ms(count: int) -> None:
        clock.now_ms += count
        steady.now_ms += count

    await intake.record(JOURNAL, [begun(1), ended(2)])
    await intake.record(b"journal2", [begun(3, key=key(3, b"journal2"))])
    pass_ms(700_000)
    await intake.record(JOURNAL, [])
    clock.now_ms += jump_ms
    await intake.sweep()
    # The first lives, the second does not; and the time is right again for the rows' age.
    pass_ms(300_000)
    await intake.record(JOURNAL, [])
    await intake.sweep()
    assert [row.state for row in await rows(usage)] == ["RUNNING", "ENDED", "RUNNING"]
    clock.now_ms -= jump_ms
    await intake.sweep()
    await intake.record(JOURNAL, [])
    pass_ms(599_000)
    await intake.record(JOURNAL, [])
    pass_ms(2_000)
    await intake.sweep()
    assert [row.state for row in await rows(usage)] == ["UNKNOWN", "ENDED", "RUNNING"]


async def test_old_rows_are_deleted(
    intake: UsageIntake, usage: UsageReader, clock: FakeClock
) -> None:
    # Whole hours go: their totals do, too.
    horizon = (clock.now_ms - 90 * DAY_MS) // HOUR_MS * HOUR_MS
    await intake.record(JOURNAL, [ended(1, time_ms=horizon - 1), ended(2, time_ms=horizon)])
    await intake.sweep()
    assert [row.id for row in await rows(usage)] == [key(2).hex()]


async def test_what_old_rows_had_in_common_goes_with_them(
    intake: UsageIntake, usage: UsageReader, database: Database, clock: FakeClock
) -> None:
    await intake.record(JOURNAL, [ended(1, time_ms=clock.now_ms)])
    clock.now_ms += 2 * DAY_MS
    # A day later, what is alike is stored anew.
    await intake.record(JOURNAL, [ended(2, time_ms=clock.now_ms), ended(3, time_ms=clock.now_ms)])
    assert await origins(database) == 2
    clock.now_ms += 90 * DAY_MS - 1
    await intake.sweep()
    assert [row.id for row in await rows(usage)] == [key(3).hex(), key(2).hex()]
    assert await origins(database) == 1
    # A worker's clock is ahead: its row stays, and so does what it needs.
    await intake.record(JOURNAL, [ended(4, requester="carol", time_ms=clock.now_ms + 9 * DAY_MS)])
    clock.now_ms += 95 * DAY_MS
    await intake.sweep()
    assert [row.requester for row in await rows(usage)] == ["carol"]
    assert await origins(database) == 1
    clock.now_ms += 5 * DAY_MS
    await intake.sweep()
    assert await rows(usage) == []
    assert await origins(database) == 0


async def test_a_sign_of_life_is_stored_now_and_then(
    intake: UsageIntake, database: Database, clock: FakeClock
) -> None:
    seen = []
    for _ in range(4):
        await intake.record(JOURNAL, [])
        seen.append(await seen_ms(database))
        clock.now_ms += 2_500
    begin = clock.now_ms - 10_000
    assert seen == [begin, begin, begin + 5_000, begin + 5_000]
