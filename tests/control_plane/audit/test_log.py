"""Events are stored with their change or not at all; a flood of refusals costs a few rows."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from modelplane.control_plane.audit import log as audit_log
from modelplane.control_plane.audit.log import (
    MAX_CALLERS,
    MAX_OF_ONE,
    MAX_UNKNOWN,
    SUPPRESSED,
    AuditLog,
    Change,
)
from modelplane.control_plane.errors import AlreadyExists, StoreUnavailable
from modelplane.control_plane.store.audit import (
    AuditEvent,
    AuditFilter,
    insert_event,
    list_events,
)
from modelplane.control_plane.store.database import Database, current_companion
from modelplane.control_plane.store.secrets.scopes import find_scope, insert_scope
from tests.control_plane.conftest import FakeClock

CHANGE = AuditEvent(
    1000, "7", "alice", "CreateScope", "secret-scope", "s", "r", "10.0.0.9", {"a": 1}
)
REFUSAL = replace(
    CHANGE, outcome="PERMISSION_DENIED", http_status=403, error_code="PERMISSION_DENIED"
)
UNKNOWN = replace(REFUSAL, principal_id="", principal_name="", outcome="UNAUTHENTICATED")
EVERYTHING = AuditFilter()


@pytest.fixture
def log(database: Database, clock: FakeClock) -> AuditLog:
    return AuditLog(database, clock, CollectorRegistry(), retention_days=365)


@pytest.fixture
async def change() -> AsyncIterator[Change]:
    one = Change(CHANGE)
    token = current_companion.set(one)
    yield one
    current_companion.reset(token)


async def stored(database: Database, selected: AuditFilter = EVERYTHING) -> list[AuditEvent]:
    async with database.read() as session:
        return await list_events(session, selected, 1000)


async def scopes(database: Database) -> list[str]:
    async with database.read() as session:
        return [name for name in ("s", "t") if await find_scope(session, name)]


@pytest.mark.usefixtures("change")
async def test_a_change_and_its_event_are_committed_together(database: Database) -> None:
    async with database.write() as transaction:
        await insert_scope(transaction, "s", "alice", 1)
    [found] = await stored(database)
    assert replace(found, id=0) == CHANGE
    assert await scopes(database) == ["s"]


@pytest.mark.usefixtures("change")
async def test_neither_is_when_the_change_fails(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.write() as transaction:
            await insert_scope(transaction, "s", "alice", 1)
            raise ZeroDivisionError
    assert await stored(database) == []
    assert await scopes(database) == []


@pytest.mark.usefixtures("change")
async def test_neither_is_when_the_event_fails(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(audit_log, "insert_event", fail)
    with pytest.raises(ZeroDivisionError):
        async with database.write() as transaction:
            await insert_scope(transaction, "s", "alice", 1)
    assert await scopes(database) == []


@pytest.mark.usefixtures("change")
async def test_of_several_transactions_the_last_has_the_event(database: Database) -> None:
    async with database.write() as transaction:
        await insert_scope(transaction, "s", "alice", 1)
    [first] = await stored(database)
    async with database.write() as transaction:
        await insert_scope(transaction, "t", "alice", 1)
    [second] = await stored(database)
    assert second.id > first.id
    with pytest.raises(AlreadyExists):
        async with database.write() as transaction:
            await insert_scope(transaction, "t", "alice", 1)
    assert await stored(database) == [second]


async def test_alike_refusals_are_one_event(database: Database, log: AuditLog) -> None:
    for _ in range(50):
        log.refuse(REFUSAL)
    log.refuse(replace(REFUSAL, object_name="other"))
    for number in range(1000):
        # Whoever is not known cannot make rows by asking for other things.
        log.refuse(replace(UNKNOWN, object_name=f"n{number}", action=f"A{number}"))
    await log.flush()
    assert sorted(event.count for event in await stored(database)) == [1, 50, 1000]
    await log.flush()
    assert len(await stored(database)) == 3


async def test_of_very_many_refusals_the_number_is_kept(database: Database, log: AuditLog) -> None:
    for number in range(MAX_OF_ONE + 7):
        log.refuse(replace(REFUSAL, object_name=f"n{number}"))
    for number in range(MAX_UNKNOWN + 5):
        log.refuse(replace(UNKNOWN, source_address=f"10.0.0.{number}"))
    await log.flush()
    events = await stored(database)
    assert len(events) == MAX_OF_ONE + MAX_UNKNOWN + 2
    rest = {event.principal_name: event.count for event in events if event.action == SUPPRESSED}
    assert rest == {"alice": 7, "": 5}
    assert await stored(database, AuditFilter(outcome="OK")) == []


async def test_nobody_hides_the_refusals_of_another(database: Database, log: AuditLog) -> None:
    for number in range(1000):
        log.refuse(replace(REFUSAL, object_name=f"n{number}"))
    log.refuse(replace(REFUSAL, principal_id="8", principal_name="bob"))
    await log.flush()
    events = await stored(database)
    assert [event.principal_name for event in events].count("bob") == 1
    # A crowd of callers costs rows for so many of them, and the number of the others.
    for number in range(3 * MAX_CALLERS):
        log.refuse(replace(REFUSAL, principal_id=f"c{number}", principal_name=f"c{number}"))
    await log.flush()
    new = [event for event in await stored(database) if event not in events]
    assert len(new) == 2 * MAX_CALLERS + 1
    assert sum(event.count for event in new) == 3 * MAX_CALLERS


async def test_refusals_wait_for_a_database_that_is_away(
    database: Database, log: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> int:
        # Arrives while the window is being stored.
        log.refuse(REFUSAL)
        raise StoreUnavailable("away")

    log.refuse(REFUSAL)
    for number in range(MAX_UNKNOWN + 1):
        log.refuse(replace(UNKNOWN, source_address=f"10.0.0.{number}"))
    with monkeypatch.context() as patch:
        patch.setattr(audit_log, "insert_event", fail)
        with pytest.raises(StoreUnavailable):
            await log.flush()
        await log.close()
    await log.flush()
    counts = {(event.action, event.principal_id): event.count for event in await stored(database)}
    assert counts[("CreateScope", "7")] == 3
    assert counts[(SUPPRESSED, "")] == 1
    assert len(await stored(database)) == MAX_UNKNOWN + 2


async def test_refusals_that_are_being_stored_when_the_process_ends_are_stored(
    database: Database, log: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()

    async def hang(*_: object) -> int:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    log.refuse(REFUSAL)
    with monkeypatch.context() as patch:
        patch.setattr(audit_log, "insert_event", hang)
        task = asyncio.create_task(log.run())
        await begun.wait()
        task.cancel()
        await asyncio.wait([task])
    await log.close()
    assert [event.count for event in await stored(database)] == [1]


async def test_the_first_refusal_is_stored_at_once_and_the_next_after_a_window(
    database: Database, clock: FakeClock
) -> None:
    pauses: asyncio.Queue[float] = asyncio.Queue()
    go_on = asyncio.Event()

    async def sleep(seconds: float) -> None:
        pauses.put_nowait(seconds)
        await go_on.wait()

    log = AuditLog(database, clock, CollectorRegistry(), retention_days=365, sleep=sleep)
    task = asyncio.create_task(log.run())
    log.refuse(REFUSAL)
    assert await pauses.get() == audit_log.WINDOW_SECONDS
    assert [event.count for event in await stored(database)] == [1]
    for _ in range(3):
        log.refuse(REFUSAL)
    go_on.set()
    await pauses.get()
    assert [event.count for event in await stored(database)] == [3, 1]
    task.cancel()
    await asyncio.wait([task])


async def test_old_events_and_surplus_refusals_are_forgotten(
    database: Database, clock: FakeClock, log: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = 24 * 3600 * 1000
    monkeypatch.setattr(audit_log, "KEEP_REFUSALS", 3)
    monkeypatch.setattr(audit_log, "_SWEEP_ROWS", 2)
    async with database.write() as transaction:
        for age in range(360, 372):
            old = replace(CHANGE, time_ms=clock() - age * day, object_name=str(age))
            await insert_event(transaction, old)
        for number in range(8):
            await insert_event(transaction, replace(REFUSAL, time_ms=clock() + number))
    await log.forget()
    events = await stored(database)
    assert {event.object_name for event in events if event.outcome == "OK"} == {
        str(age) for age in range(360, 366)
    }
    assert [event.time_ms - clock() for event in events if event.outcome != "OK"] == [7, 6, 5]


@pytest.mark.parametrize(
    ("selected", "names"),
    [
        (AuditFilter(), ["d", "c", "b", "a"]),
        (AuditFilter(start_ms=1002, end_ms=1004), ["d", "c"]),
        (AuditFilter(principal="alice"), ["d", "b", "a"]),
        (AuditFilter(principal="8"), ["c"]),
        (AuditFilter(action="DeleteScope"), ["c", "b"]),
        (AuditFilter(object_type="secret"), ["b"]),
        (AuditFilter(object_name="c", action="DeleteScope"), ["c"]),
        (AuditFilter(outcome="REFUSED"), ["d"]),
        (AuditFilter(outcome="OK"), ["c", "b", "a"]),
        (AuditFilter(outcome="PERMISSION_DENIED"), ["d"]),
        (AuditFilter(outcome="' OR 1=1 --"), []),
    ],
)
async def test_filters(database: Database, selected: AuditFilter, names: list[str]) -> None:
    async with database.write() as transaction:
        for event in (
            replace(CHANGE, object_name="a", time_ms=1000),
            replace(
                CHANGE, object_name="b", time_ms=1001, action="DeleteScope", object_type="secret"
            ),
            replace(
                CHANGE,
                object_name="c",
                time_ms=1002,
                action="DeleteScope",
                principal_id="8",
                principal_name="bob",
            ),
            replace(REFUSAL, object_name="d", time_ms=1003),
        ):
            await insert_event(transaction, event)
    assert [event.object_name for event in await stored(database, selected)] == names
    if not names or len(names) > 1:
        return
    [only] = await stored(database, selected)
    assert await stored(database, replace(selected, before_id=only.id)) == []


@pytest.mark.usefixtures("change")
async def test_each_event_is_a_log_line(
    database: Database, log: AuditLog, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "modelplane.control_plane.audit")
    for name in ("s", "t"):
        async with database.write() as transaction:
            await insert_scope(transaction, name, "alice", 1)
    log.refuse(REFUSAL)
    log.refuse(REFUSAL)
    current_companion.set(None)
    await log.flush()
    lines = [record.__dict__["fields"] for record in caplog.records]
    assert [(line["action"], line["outcome"], line["count"]) for line in lines] == [
        ("CreateScope", "OK", 1),
        ("CreateScope", "PERMISSION_DENIED", 2),
    ]
