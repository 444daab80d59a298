"""Queues and their writer, killed at every step in turn: each row is written, and once."""

import asyncio
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from modelplane.data_plane.payloads.journal import PayloadJournal
from modelplane.data_plane.payloads.metrics import PayloadMetrics
from modelplane.data_plane.payloads.row import DROPPED, PayloadRow
from modelplane.data_plane.tables.maintenance import Maintenance
from modelplane.data_plane.tables.metrics import WriterMetrics
from modelplane.data_plane.tables.spool import Spool, WriterTaken
from modelplane.data_plane.tables.writer import PayloadWriter
from tests.data_plane.fakes import FakeClock
from tests.effort import times

TABLES = ("main/logs/a_payload", "main/logs/b_payload")


class Killed(BaseException):
    """The process is gone."""


class Memory:
    """Tables in memory, as durable as those on a disk."""

    def __init__(self) -> None:
        self.rows: dict[str, list[PayloadRow]] = {}
        self.versions: dict[str, int] = {}
        self.broken: set[str] = set()
        self.commits = 0
        self.wall_ms = 1_700_000_000_000.0
        self.kept: list[tuple[str, str, str]] = []

    def committed(self, location: str) -> int:
        return self.versions.get(location, 0)

    def append(self, location: str, number: int, rows: Sequence[PayloadRow]) -> None:
        if location in self.broken:
            raise OSError("it cannot be reached")
        self.commits += 1
        self.rows.setdefault(location, []).extend(rows)
        self.versions[location] = number

    def maintain(self, location: str, today: date, oldest: date | None) -> None:
        self.kept.append((location, str(today), str(oldest)))
        if location in self.broken:
            raise OSError("it cannot be reached")


def journal(root: Path) -> PayloadJournal:
    metrics = PayloadMetrics(CollectorRegistry())
    return PayloadJournal(root, metrics, FakeClock(), max_bytes=1 << 30, segment_bytes=4_000)


def record(root: Path, first: int, count: int, *, dies: bool = False) -> None:
    """Record rows as a worker does, which ends properly or dies."""
    one = journal(root)
    for number in range(first, first + count):
        one.append(PayloadRow(TABLES[number % 2], {"number": number}, (), b"q" * 100, b"a" * 100))
    if not dies:
        asyncio.run(one.finish())
    elif one._lock is not None:
        os.close(one._lock)


def opened(root: Path, metrics: WriterMetrics | None = None) -> Spool:
    return Spool(root, metrics or WriterMetrics(CollectorRegistry()), 1 << 30)


def new_writer(spool: Spool, tables: Memory) -> PayloadWriter:
    maintenance = Maintenance(spool.directory, lambda: tables.wall_ms, 30)
    return PayloadWriter(spool, lambda: tables, FakeClock(), spool._metrics, maintenance)


def work(root: Path, tables: Memory) -> None:
    spool = opened(root)
    try:
        new_writer(spool, tables).work()
    finally:
        spool.close()


def numbers(tables: Memory) -> list[Any]:
    return sorted(row.facts["number"] for rows in tables.rows.values() for row in rows)


@contextmanager
def killing(step: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """Kill the process before its step of that number, among those that change a disk."""
    counted: Counter[str] = Counter()

    def wrap(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def count(*args: Any, **kwargs: Any) -> Any:
            counted["steps"] += 1
            if counted["steps"] > step:
                raise Killed
            return real(*args, **kwargs)

        patch.setattr(owner, name, count)

    with monkeypatch.context() as patch:
        for owner, name in (
            (Path, "unlink"),
            (Path, "replace"),
            (Path, "mkdir"),
            (Path, "rmdir"),
            (os, "fsync"),
            (os, "utime"),
            (Memory, "committed"),
            (Memory, "append"),
        ):
            wrap(owner, name)
        yield counted


def test_rows_reach_their_tables_in_order(tmp_path: Path) -> None:
    tables = Memory()
    record(tmp_path, 0, 100)
    record(tmp_path, 100, 50, dies=True)
    work(tmp_path, tables)
    assert numbers(tables) == list(range(150))
    assert set(tables.rows) == set(TABLES)
    # What workers left is gone, and so are their directories.
    assert [path.name for path in tmp_path.iterdir()] == ["tables"]
    # Few commits, however many segments there were.
    assert tables.commits < 20


def test_killed_at_any_step_each_row_is_written_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in range(0, 500, times(4, 1)):
        root = tmp_path / str(step)
        tables = Memory()
        record(root, 0, 20)
        record(root, 20, 20, dies=True)
        with killing(step, monkeypatch) as counted, suppress(Killed):
            work(root, tables)
        if counted["steps"] <= step:
            assert numbers(tables) == list(range(40))
            break
        # The next process is killed, too, a little further.
        with killing(step // 2, monkeypatch), suppress(Killed):
            work(root, tables)
        record(root, 40, 5)
        work(root, tables)
        assert numbers(tables) == list(range(45)), step
    else:
        raise AssertionError("it never came to its end")
    assert step > 20


def test_a_worker_that_lives_keeps_what_it_writes(tmp_path: Path) -> None:
    tables = Memory()
    one = journal(tmp_path)
    for number in range(30):
        one.append(PayloadRow(TABLES[0], {"number": number}, (), b"q" * 400, None))
    asyncio.run(one.pack())
    work(tmp_path, tables)
    written = len(numbers(tables))
    assert 0 < written < 30
    asyncio.run(one.finish())
    work(tmp_path, tables)
    assert numbers(tables) == list(range(30))


def test_a_table_that_takes_nothing_holds_up_no_other(tmp_path: Path) -> None:
    tables = Memory()
    tables.broken = {TABLES[0]}
    for first in (0, 20, 40):
        record(tmp_path, first, 20)
        work(tmp_path, tables)
    assert numbers(tables) == list(range(1, 60, 2))
    tables.broken = set()
    work(tmp_path, tables)
    assert numbers(tables) == list(range(60))


def test_what_a_commit_holds_is_bounded_where_rows_have_no_bodies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelplane.data_plane.tables.writer._COMMIT_BYTES", 1_000)
    tables = Memory()
    tables.broken = {TABLES[0]}
    for first in (0, 20, 40):
        one = journal(tmp_path)
        for number in range(first, first + 20):
            one.append(PayloadRow(TABLES[0], {"number": number}, kind="logs"))
        asyncio.run(one.finish())
        work(tmp_path, tables)
    tables.broken = set()
    work(tmp_path, tables)
    assert tables.commits == 3
    assert numbers(tables) == list(range(60))


def test_what_waits_for_one_table_is_bounded(tmp_path: Path) -> None:
    tables = Memory()
    tables.broken = set(TABLES)
    registry = CollectorRegistry()
    spool = Spool(tmp_path, WriterMetrics(registry), 40_000)
    writer = new_writer(spool, tables)
    for first in range(0, 2_000, 20):
        one = journal(tmp_path)
        for number in range(first, first + 20):
            one.append(PayloadRow(TABLES[0], {"number": number}, (), os.urandom(100), None))
        asyncio.run(one.finish())
        writer.work()
    waiting = sum(path.stat().st_size for path in tmp_path.rglob("*.z"))
    spool.close()
    assert waiting < 20_000
    assert (registry.get_sample_value("modelplane_payload_rows_stripped_total") or 0) > 1_000
    tables.broken = set()
    work(tmp_path, tables)
    rows = tables.rows[TABLES[0]]
    assert rows[0].request
    assert rows[-1].errors == (DROPPED,)


def test_two_processes_do_not_write_the_same(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    with pytest.raises(WriterTaken):
        opened(tmp_path)
    identifier = spool.id
    spool.close()
    again = opened(tmp_path)
    assert again.id == identifier
    again.close()


def test_the_age_of_what_waits_is_known(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    assert spool.oldest() is None
    record(tmp_path, 0, 3)
    [ready] = tmp_path.glob("*/*.ready")
    os.utime(ready, (5, 5))
    assert spool.oldest() == 5
    assert spool.take()
    assert spool.oldest() == 5
    spool.close()


def test_tables_are_kept_in_order_once_a_day(tmp_path: Path) -> None:
    tables = Memory()
    record(tmp_path, 0, 4)
    work(tmp_path, tables)
    work(tmp_path, tables)
    assert tables.kept == []
    tables.wall_ms += 86_400_000
    tables.broken = {TABLES[0]}
    for _ in range(2):
        work(tmp_path, tables)
    assert sorted(tables.kept) == [(one, "2023-11-15", "2023-10-16") for one in TABLES]
