"""A journal of one process, and what becomes of it when the process is gone."""

import errno
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from modelplane.data_plane.directories import take_over
from modelplane.data_plane.usage import journal as journal_module
from modelplane.data_plane.usage.journal import Journal
from modelplane.data_plane.usage.journal_metrics import JournalMetrics
from modelplane.data_plane.usage.journal_room import keeps_room
from modelplane.data_plane.usage.journal_segment import INTENT_BYTES, Segment
from tests.data_plane.fakes import FakeClock

SEGMENT = 1 << 16


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def journal(tmp_path: Path, registry: CollectorRegistry, clock: FakeClock) -> Iterator[Journal]:
    journal = open_journal(tmp_path, registry, clock)
    yield journal
    journal.close()


def open_journal(root: Path, registry: CollectorRegistry, clock: FakeClock) -> Journal:
    metrics = JournalMetrics(registry)
    return Journal(root, metrics, clock, max_bytes=3 * SEGMENT, segment_bytes=SEGMENT)


def write(journal: Journal, count: int, size: int = 100) -> int:
    """Write queries; return how many were taken."""
    taken = 0
    for _ in range(count):
        if ticket := journal.begin(journal.new_key(), bytes(size)):
            journal.end(ticket, b"done")
            taken += 1
    return taken


def read_all(journal: Journal) -> int:
    return sum(len(one.reader.read(1 << 20, one.position)) for one in journal.segments)


def test_an_unused_journal_takes_no_room_and_leaves_nothing(
    tmp_path: Path, registry: CollectorRegistry, clock: FakeClock
) -> None:
    journal = open_journal(tmp_path, registry, clock)
    assert [path.name for path in journal.path.iterdir()] == ["lock"]
    journal.close()
    assert list(tmp_path.iterdir()) == []


def test_keys_are_unique_and_say_which_journal(journal: Journal) -> None:
    keys = [journal.new_key() for _ in range(1000)]
    assert len(set(keys)) == 1000
    assert all(key.startswith(journal.id) for key in keys)


def test_what_is_read_is_forgotten_and_makes_room(journal: Journal) -> None:
    while len(journal.segments) < 3:
        assert write(journal, 1, 1000) == 1
    assert read_all(journal) > 100
    journal.forget()
    assert len(journal.segments) == len(list(journal.path.iterdir())) - 1 == 1
    journal.seal()
    journal.forget()
    assert journal.segments == []


def test_a_segment_stays_while_a_query_of_it_is_under_way(journal: Journal) -> None:
    ticket = journal.begin(journal.new_key(), b"long")
    assert ticket
    journal.seal()
    read_all(journal)
    journal.forget()
    assert journal.segments == [ticket.segment]
    journal.end(ticket, b"done")
    read_all(journal)
    journal.forget()
    assert journal.segments == []


def test_a_journal_that_may_not_grow_says_so_and_goes_on_when_there_is_room(
    journal: Journal,
    registry: CollectorRegistry,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        taken = write(journal, 400, 1000)
    assert 100 < taken < 400
    assert registry.get_sample_value("modelplane_usage_lost_total") == 400 - taken
    assert registry.get_sample_value("modelplane_journal_bytes") == 3 * SEGMENT
    assert [record.message for record in caplog.records] == [
        "usage is not recorded; queries are served on"
    ]
    read_all(journal)
    journal.forget()
    clock.now += 1
    assert write(journal, 10) == 10


def test_a_full_disk_costs_records_and_no_query(
    journal: Journal,
    registry: CollectorRegistry,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened = journal.begin(journal.new_key(), b"before the disk was full")
    assert opened
    tries = 0

    def fail(path: Path, size: int, *, mapped: bool) -> Segment:
        nonlocal tries
        del path, size, mapped
        tries += 1
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(journal_module, "Segment", fail)
    taken = write(journal, 1000, 1000)
    assert 0 < taken < 1000
    # The disk is not asked again for each query.
    assert tries == 1
    clock.now += 1
    assert write(journal, 10, 1000) == 0
    assert tries == 2
    journal.end(opened, b"is written all the same")
    assert read_all(journal) == taken + 1
    assert registry.get_sample_value("modelplane_usage_lost_total") == 1000 - taken + 10


def test_one_segment_at_most_takes_memory(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[bool] = []

    def make(path: Path, size: int, *, mapped: bool) -> Segment:
        made.append(mapped)
        return Segment(path, size, mapped=mapped)

    monkeypatch.setattr(journal_module, "Segment", make)
    ticket = journal.begin(journal.new_key(), b"in a segment that is full by its end")
    assert ticket
    while len(journal.segments) < 3:
        write(journal, 1, 1000)
    assert made == [keeps_room(journal.path)] * 3
    assert [segment.is_mapped for segment in journal.segments] == [False, False, made[2]]
    journal.end(ticket, b"done")
    first = journal.segments[0]
    assert first.reader.read(1 << 20, first.position)[-1].key == ticket.key


def test_an_intent_that_is_too_long_is_not_taken(journal: Journal) -> None:
    assert journal.begin(journal.new_key(), bytes(INTENT_BYTES + 1)) is None
    assert write(journal, 1, INTENT_BYTES) == 1


def test_a_journal_is_taken_over_once_its_process_is_gone(
    tmp_path: Path, journal: Journal, clock: FakeClock
) -> None:
    other = open_journal(tmp_path, CollectorRegistry(), clock)
    write(other, 3)
    assert take_over(tmp_path) is None
    other.close()
    dead = take_over(tmp_path)
    assert dead
    assert (dead.id, dead.path) == (other.id, other.path)
    # Only one worker gets it.
    assert take_over(tmp_path) is None
    dead.release()
    again = take_over(tmp_path)
    assert again
    again.remove()
    assert [path.name for path in tmp_path.iterdir()] == [journal.id.hex()]


def test_what_is_no_journal_is_left_alone(tmp_path: Path, journal: Journal) -> None:
    del journal
    (tmp_path / "notes").mkdir()
    (tmp_path / "0011").mkdir()
    (tmp_path / "0011" / "lock").touch()
    (tmp_path / "file").touch()
    assert take_over(tmp_path) is None
