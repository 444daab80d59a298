"""The payload journal: it keeps rows, and gives up bodies before rows, and rows before calls."""

import errno
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from modelplane.data_plane.directories import take_over
from modelplane.data_plane.payloads.journal import PayloadJournal, _measure
from modelplane.data_plane.payloads.metrics import PayloadMetrics
from modelplane.data_plane.payloads.row import DROPPED, PayloadRow
from tests.data_plane.fakes import FakeClock
from tests.data_plane.payloads.journal_files import names_in, rows_below

SEGMENT = 1 << 20
BODY = b"x" * 200_000


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


Open = Callable[..., PayloadJournal]


@pytest.fixture
async def opened(
    tmp_path: Path, registry: CollectorRegistry, clock: FakeClock
) -> AsyncIterator[Open]:
    journals = []

    def open_one(max_bytes: int = 64 * SEGMENT) -> PayloadJournal:
        metrics = PayloadMetrics(registry)
        journal = PayloadJournal(
            tmp_path / "payloads", metrics, clock, max_bytes=max_bytes, segment_bytes=SEGMENT
        )
        journals.append(journal)
        return journal

    yield open_one
    for journal in journals:
        await journal.finish()


def row(number: int, body: bytes | None = BODY) -> PayloadRow:
    return PayloadRow("main/logs/chat_payload", {"number": number}, (), body, body)


def numbers(rows: list[PayloadRow]) -> list[object]:
    return [row.facts["number"] for row in rows]


async def test_a_journal_without_rows_leaves_no_trace(opened: Open, tmp_path: Path) -> None:
    journal = opened()
    await journal.pack()
    await journal.finish()
    assert names_in(tmp_path) == []


async def test_rows_are_there_at_once_and_in_order_after_a_seal(
    opened: Open, tmp_path: Path, clock: FakeClock
) -> None:
    journal = opened()
    for number in range(20):
        journal.append(row(number))
    assert sorted(map(str, numbers(rows_below(tmp_path)))) == sorted(map(str, range(20)))
    clock.now += 31
    journal.seal_old()
    await journal.pack()
    files = [Path(name).suffix for name in names_in(journal._path)]
    # The spare is the one that is open.
    assert files.count(".ready") == 10
    assert files.count(".open") == 1
    assert numbers(rows_below(tmp_path)) == list(range(20))
    assert {one.request for one in rows_below(tmp_path)} == {BODY}


async def test_a_segment_that_is_young_stays_open(opened: Open, clock: FakeClock) -> None:
    journal = opened()
    journal.append(row(1))
    clock.now += 29
    journal.seal_old()
    await journal.pack()
    assert not any(name.endswith(".ready") for name in names_in(journal._path))


async def test_without_room_rows_lose_their_bodies_and_then_themselves(
    opened: Open, tmp_path: Path, registry: CollectorRegistry
) -> None:
    journal = opened(max_bytes=4 * SEGMENT)
    for number in range(20_000):
        journal.append(row(number, BODY if number < 40 else b"short"))
    rows = rows_below(tmp_path)
    bare = [one for one in rows if one.errors]
    assert 0 < len([one for one in rows if one.request == BODY]) < 40
    assert all(one.errors == (DROPPED,) and one.request is None for one in bare)
    assert len(bare) > 1_000
    value = registry.get_sample_value
    assert value("modelplane_payload_dropped_total") == len(bare)
    assert value("modelplane_payload_rows_total") == len(rows)
    assert value("modelplane_payload_lost_total") == 20_000 - len(rows)
    assert _measure(tmp_path) <= 4 * SEGMENT


async def test_a_full_disk_costs_bodies(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    journal = opened()
    journal.append(row(0))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no room")

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        for number in range(1, 20):
            journal.append(row(number))
    rows = rows_below(tmp_path)
    assert sorted(map(str, numbers(rows))) == sorted(map(str, range(20)))
    assert [one.errors for one in rows if one.request is None][-1] == (DROPPED,)
    # There is room again.
    clock.now += 2
    journal.append(row(20))
    assert [one.request for one in rows_below(tmp_path) if one.facts["number"] == 20] == [BODY]


async def test_a_directory_that_cannot_be_made_costs_rows_only(
    opened: Open, tmp_path: Path, registry: CollectorRegistry
) -> None:
    (tmp_path / "payloads").write_text("a file")
    opened().append(row(0))
    assert registry.get_sample_value("modelplane_payload_lost_total") == 1


async def test_a_row_larger_than_a_segment_gets_one_of_its_own(
    opened: Open, tmp_path: Path
) -> None:
    opened().append(row(0, b"y" * (3 * SEGMENT)))
    assert rows_below(tmp_path)[0].errors == ()


async def test_the_room_of_other_workers_counts(opened: Open, tmp_path: Path) -> None:
    other = tmp_path / "payloads" / "other"
    other.mkdir(parents=True)
    (other / "0000000001.ready").write_bytes(os.urandom(4 * SEGMENT))
    journal = opened(max_bytes=5 * SEGMENT)
    journal.append(row(0))
    [kept] = rows_below(journal._path)
    assert kept.errors == (DROPPED,)


async def test_rows_of_a_process_that_died_are_found(opened: Open, tmp_path: Path) -> None:
    journal = opened()
    journal.append(row(7))
    assert take_over(tmp_path / "payloads") is None
    assert journal._lock is not None
    os.close(journal._lock)
    dead = take_over(tmp_path / "payloads")
    assert dead is not None
    assert numbers(rows_below(dead.path)) == [7]
    # The fixture closes it, as the process would have.
    journal._lock = dead.lock
