"""What the control plane grants, on both databases."""

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from sqlalchemy import event

from modelplane.control_plane.limits.quota import WINDOW_MS, Demand, Grant, Quota
from modelplane.control_plane.shared_clock import SharedClock
from modelplane.control_plane.store.database import Database, Transaction
from modelplane.control_plane.store.migrate import migrate
from modelplane.control_plane.store.tables import ReplicaRow
from tests.control_plane.conftest import FakeClock

KEY = b"k" * 16


@pytest.fixture
def quota(database: Database, clock: FakeClock) -> Quota:
    return Quota(database, SharedClock(clock))


async def grant(quota: Quota, worker: str = "w", **fields: int) -> Grant:
    demand = Demand(KEY, **{"limit": 10, "needed": 1, **fields})
    return (await quota.lease(worker, [demand])).grants[0]


async def lease(quota: Quota, worker: str = "w", **fields: int) -> tuple[int, int]:
    """Return what was granted, and what remains."""
    answer = await grant(quota, worker, **fields)
    return answer.granted, answer.remaining


async def test_a_window_grants_its_limit_and_the_next_one_begins_anew(
    quota: Quota, clock: FakeClock
) -> None:
    assert await lease(quota, needed=7) == (7, 3)
    assert await lease(quota, needed=7) == (3, 0)
    assert await lease(quota) == (0, 0)
    clock.now_ms += WINDOW_MS
    assert await lease(quota, needed=7) == (7, 3)


async def test_the_answer_says_when_the_window_ends(quota: Quota, clock: FakeClock) -> None:
    clock.now_ms = 7 * WINDOW_MS + 58_500
    answer = await quota.lease("w", [])
    assert (answer.window, answer.remaining_ms, answer.grants) == (7, 1_500, [])


async def test_quota_ahead_of_need_shrinks_with_what_is_left_and_with_the_workers(
    quota: Quota,
) -> None:
    # At most a fortieth of the limit, split among the workers.
    assert await lease(quota, "a", limit=1_000, wanted=100) == (25, 975)
    assert await lease(quota, "b", limit=1_000, wanted=100) == (12, 963)
    assert await lease(quota, "c", limit=1_000, wanted=100) == (8, 955)
    assert await lease(quota, "c", limit=1_000, wanted=3) == (3, 952)
    # What waits is served whatever the share.
    assert await lease(quota, "c", limit=1_000, needed=920, wanted=940) == (920, 32)
    # Nor more than half of what is left.
    assert await lease(quota, "c", limit=1_000, needed=0, wanted=40) == (5, 27)


async def test_workers_that_are_gone_do_not_count(quota: Quota, clock: FakeClock) -> None:
    for worker in "abcd":
        await lease(quota, worker)
    clock.now_ms += WINDOW_MS
    await lease(quota, "a")
    clock.now_ms += WINDOW_MS
    assert await lease(quota, "a", limit=1_000, wanted=100) == (25, 975)


async def test_workers_of_other_replicas_count(
    database: Database, quota: Quota, clock: FakeClock
) -> None:
    async with database.write() as transaction:
        for name, seen_ms, workers in (("a", 100, 3), ("b", 100, 7), ("gone", 5_000, 90)):
            row = ReplicaRow(
                id=name, seen_ms=clock.now_ms - seen_ms, workers=workers, acked_revision=0
            )
            transaction.session.add(row)
    assert await lease(quota, limit=1_000, wanted=100) == (25, 975)
    # They are counted once in a window.
    assert (await grant(quota, limit=1_000)).share == 2


async def test_a_grant_says_how_the_counter_stands(quota: Quota, clock: FakeClock) -> None:
    window = clock.now_ms // WINDOW_MS
    assert await grant(quota, "a", limit=1_000, needed=300) == Grant(300, 700, 300, 0, 25)
    told = {"limit": 1_000, "returned_window": window}
    assert await grant(quota, "b", **told, needed=100, used=250) == Grant(100, 600, 150, 0, 12)
    # What was used beyond is used.
    assert await grant(quota, "b", **told, needed=0, debt=50) == Grant(0, 550, 150, 0, 12)
    assert await grant(quota, "a", **told, needed=0, returned=50) == Grant(0, 600, 100, 0, 12)
    assert await grant(quota, "a", **told, needed=0, used=100, debt=700) == Grant(0, 0, 0, 100, 12)
    # Of another window nothing is told.
    clock.now_ms += WINDOW_MS
    assert await grant(quota, "a", **told, needed=20, used=9) == Grant(20, 880, 20, 0, 12)


async def test_what_is_returned_is_granted_again_but_only_in_its_window(
    quota: Quota, clock: FakeClock
) -> None:
    window = clock.now_ms // WINDOW_MS
    await lease(quota, needed=10)
    assert await lease(quota, needed=1, returned=4, returned_window=window) == (1, 3)
    clock.now_ms += WINDOW_MS
    assert await lease(quota, needed=10, returned=4, returned_window=window) == (10, 0)


async def test_debt_is_paid_by_this_window_and_those_after_it(
    quota: Quota, clock: FakeClock
) -> None:
    await lease(quota, needed=8)
    # 2 are paid now, 10 by the next window, 4 by the one after.
    assert await lease(quota, debt=14 + 2) == (0, 0)
    clock.now_ms += WINDOW_MS
    assert await lease(quota) == (0, 0)
    clock.now_ms += WINDOW_MS
    assert await lease(quota, needed=9) == (6, 0)
    clock.now_ms += WINDOW_MS
    assert await lease(quota, needed=9) == (9, 1)


async def test_windows_that_nobody_asked_in_pay_debt_too(quota: Quota, clock: FakeClock) -> None:
    await lease(quota, needed=10, debt=10 + 20 + 5)
    clock.now_ms += 3 * WINDOW_MS
    assert await lease(quota, needed=9) == (5, 0)


async def test_what_is_returned_pays_debt_first(quota: Quota, clock: FakeClock) -> None:
    window = clock.now_ms // WINDOW_MS
    await lease(quota, needed=10)
    assert await lease(quota, debt=3, returned=4, returned_window=window) == (1, 0)


async def test_a_limit_that_is_lowered_leaves_no_debt(quota: Quota, clock: FakeClock) -> None:
    await lease(quota, limit=1000, needed=900)
    assert await lease(quota, limit=10) == (0, 0)
    clock.now_ms += WINDOW_MS
    assert await lease(quota, limit=10, needed=10) == (10, 0)


async def test_a_clock_that_is_set_back_opens_no_window_again(
    quota: Quota, clock: FakeClock
) -> None:
    clock.now_ms = 100 * WINDOW_MS
    await lease(quota, needed=10)
    clock.now_ms -= 1
    assert await lease(quota) == (0, 0)
    # Nor is one that was far ahead waited for.
    clock.now_ms = 50 * WINDOW_MS
    assert await lease(quota, needed=10) == (10, 0)


@pytest.mark.parametrize("jump", [-50, -2, -1, 1, 2, 50])
async def test_a_clock_that_jumps_and_comes_back_grants_two_more_windows_at_most(
    quota: Quota, clock: FakeClock, jump: int
) -> None:
    """One for each jump, and the limit can be used soon after."""
    clock.now_ms = 100 * WINDOW_MS + 30_000
    granted = 0
    for step in (0, jump, -jump):
        clock.now_ms += step * WINDOW_MS
        for _ in range(3):
            granted += (await lease(quota, needed=10))[0]
    assert granted <= 3 * 10
    # The next window may be one that was granted during the jump.
    clock.now_ms += 2 * WINDOW_MS
    assert await lease(quota, needed=10) == (10, 0)


async def test_what_is_returned_to_a_window_before_a_jump_is_not_granted_again(
    quota: Quota, clock: FakeClock
) -> None:
    clock.now_ms = 100 * WINDOW_MS
    before = await quota.lease("w", [Demand(KEY, 10, 10)])
    clock.now_ms = 90 * WINDOW_MS
    assert await lease(quota, needed=8) == (8, 2)
    assert await lease(quota, needed=8, returned=10, returned_window=before.window) == (2, 0)


async def test_counters_outlive_the_process(database: Database, clock: FakeClock) -> None:
    await lease(Quota(database, SharedClock(clock)), needed=9)
    assert await lease(Quota(database, SharedClock(clock)), needed=9) == (1, 0)


async def test_old_counters_are_deleted(database: Database, quota: Quota, clock: FakeClock) -> None:
    await quota.lease("w", [Demand(bytes([number]) * 16, 1, 1) for number in range(5)])
    clock.now_ms += 11 * WINDOW_MS
    await lease(quota)
    async with database.read() as session:
        rows = (await session.connection()).exec_driver_sql("SELECT count(*) FROM quota")
        assert (await rows).scalar_one() == 1


async def test_a_batch_may_be_large(quota: Quota) -> None:
    demands = [Demand(number.to_bytes(16, "big"), 2, 1) for number in range(1_200)]
    answer = await quota.lease("w", demands)
    assert {(item.granted, item.remaining) for item in answer.grants} == {(1, 1)}
    assert len(answer.grants) == 1_200


async def test_concurrent_leases_never_exceed_the_limit(
    database: Database, clock: FakeClock
) -> None:
    replicas = [Quota(database, SharedClock(clock)) for _ in range(3)]
    keys = [bytes([number]) * 16 for number in range(4)]

    async def ask(number: int) -> list[int]:
        # Each in another order: locks that were taken in that order would end in a deadlock.
        order = keys[number % 4 :] + keys[: number % 4]
        demands = [Demand(key, 100, 3, 9) for key in order]
        answer = await replicas[number % 3].lease(f"w{number}", demands)
        granted = dict(zip(order, answer.grants, strict=True))
        return [granted[key].granted for key in keys]

    answers = await asyncio.gather(*(ask(number) for number in range(60)))
    assert [sum(granted) for granted in zip(*answers, strict=True)] == [100] * 4


@pytest.fixture
def begun(database: Database, monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Return a list that grows with each transaction that writes."""
    found: list[None] = []
    write, visit = database.write, database.visit

    def counted_write(seconds: float | None = None) -> AbstractAsyncContextManager[Transaction]:
        found.append(None)
        return write(seconds)

    async def counted_visit(begin: Any) -> Any:
        found.append(None)
        return await visit(begin)

    monkeypatch.setattr(database, "write", counted_write)
    monkeypatch.setattr(database, "visit", counted_visit)
    return found


async def test_calls_that_come_together_share_transactions(quota: Quota, begun: list[None]) -> None:
    # The first of a process also deletes old counters.
    await lease(quota, needed=1)
    begun.clear()
    demand = Demand(KEY, 10, needed=1)
    leases = await asyncio.gather(*(quota.lease(f"w-{number}", [demand]) for number in range(30)))
    assert sum(one.grants[0].granted for one in leases) == 9
    assert 1 <= len(begun) <= 4


async def test_a_call_alone_takes_few_statements(database: Database, quota: Quota) -> None:
    """On SQLite none through SQLAlchemy: all is done in one visit to a thread."""
    await lease(quota, needed=1)
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        statements.append(statement)

    event.listen(database.engine.sync_engine, "before_cursor_execute", note)
    demands = [Demand(number.to_bytes(16, "big"), 10, 1) for number in range(1_000)]
    for asked in (demands[:1], demands):
        statements.clear()
        await quota.lease("w", asked)
        assert len(statements) == (2 if database.is_postgresql else 0)


async def test_replicas_share_the_time_of_postgresql(postgres_url: str) -> None:
    database = Database(postgres_url)
    try:
        await migrate(database)
        answers = [await Quota(database, SharedClock(None)).lease("w", []) for _ in range(2)]
    finally:
        await database.aclose()
    first, second = ((answer.window + 1) * WINDOW_MS - answer.remaining_ms for answer in answers)
    assert 0 <= second - first < WINDOW_MS
    assert all(0 < answer.remaining_ms <= WINDOW_MS for answer in answers)


@pytest.mark.parametrize("jump_ms", [-86_400_000, -2_000, 2_000, 86_400_000])
async def test_a_bucket_under_a_clock_that_jumps_and_comes_back(
    quota: Quota, clock: FakeClock, jump_ms: int
) -> None:
    """Each jump ahead fills it once at most, and it flows on as before."""

    async def drain() -> int:
        [grant] = (await quota.lease("w", [Demand(KEY, 10, 10, rate=1)])).grants
        return grant.granted

    clock.now_ms = 200 * 86_400_000
    granted = await drain()
    for step in (jump_ms, -jump_ms):
        clock.now_ms += step
        granted += await drain()
    assert 10 <= granted <= 20
    # The rate is what it was: one each second.
    clock.now_ms += 3_000
    assert await drain() == 3
