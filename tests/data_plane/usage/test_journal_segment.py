"""What was written is read back, and what was damaged is not made up."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelplane.data_plane.usage.journal_segment import (
    INTENT_BYTES,
    KEY_BYTES,
    OUTCOME_BYTES,
    Entry,
    Segment,
    SegmentReader,
)

SIZE = 1 << 16
ALL = 1 << 20
# A payload may hold what looks like the begin of a record.
PAYLOADS = st.one_of(st.binary(max_size=40), st.just(b"mpj1"), st.just(b"mpj1" * 8))


def key(number: int) -> bytes:
    return number.to_bytes(KEY_BYTES, "big")


@pytest.fixture(params=[False, True], ids=["written", "mapped"])
def segment(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Segment]:
    segment = Segment(tmp_path / "segment", SIZE, mapped=request.param)
    yield segment
    segment.close()


def fill(segment: Segment, payloads: list[tuple[bytes, bytes]]) -> list[Entry]:
    """Write two queries at a time, the outcome of the first one last; return all entries."""
    entries = [Entry(key(n), intent, outcome) for n, (intent, outcome) in enumerate(payloads)]
    for start in range(0, len(entries), 2):
        pair = entries[start : start + 2]
        for entry in pair:
            segment.begin(entry.key, entry.intent)
        for entry in reversed(pair):
            segment.end(entry.key, entry.outcome)
    return entries


def recover(path: Path, data: bytes) -> tuple[list[Entry], dict[bytes, bytes]]:
    """Return the finished and the unfinished entries in the bytes of a segment."""
    path.write_bytes(data)
    with path.open("rb") as file:
        reader = SegmentReader(file.fileno())
        found = reader.read(ALL, len(data))
        assert reader.position == len(data)
        return found, reader.unfinished


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    payloads=st.lists(st.tuples(PAYLOADS, PAYLOADS), max_size=8),
    limit=st.integers(1, 5),
    mapped=st.booleans(),
)
def test_what_is_written_is_read(
    tmp_path: Path, payloads: list[tuple[bytes, bytes]], limit: int, *, mapped: bool
) -> None:
    path = tmp_path / "segment"
    path.unlink(missing_ok=True)
    segment = Segment(path, SIZE, mapped=mapped)
    entries = fill(segment, payloads)
    found = []
    while batch := segment.reader.read(limit, segment.position):
        assert len(batch) <= limit
        found += batch
    assert sorted(found, key=lambda entry: entry.key) == entries
    assert not segment.reader.unfinished
    # Another process finds the same, with the room that was never used.
    assert recover(tmp_path / "copy", path.read_bytes()) == (found, {})
    segment.close()


def test_a_reader_goes_on_where_it_was(segment: Segment) -> None:
    segment.begin(key(1), b"one")
    assert segment.reader.read(ALL, segment.position) == []
    assert segment.reader.unfinished == {key(1): b"one"}
    segment.end(key(1), b"done")
    assert segment.reader.read(ALL, segment.position) == [Entry(key(1), b"one", b"done")]
    assert not segment.is_done
    segment.seal()
    assert segment.is_done


def test_what_a_killed_process_has_written_is_there(tmp_path: Path) -> None:
    path = tmp_path / "segment"
    program = (
        "import os, signal, sys; from pathlib import Path;"
        "from data_plane.usage.journal_segment import Segment;"
        f"segment = Segment(Path(sys.argv[1]), {SIZE}, mapped=True);"
        "segment.begin(b'k' * 16, b'intent'); segment.begin(b'l' * 16, b'other');"
        "segment.end(b'k' * 16, b'outcome'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run([sys.executable, "-c", program, path], check=False)
    assert ended.returncode == -signal.SIGKILL
    found, unfinished = recover(path, path.read_bytes())
    assert found == [Entry(b"k" * 16, b"intent", b"outcome")]
    assert unfinished == {b"l" * 16: b"other"}


def test_a_sealed_segment_takes_outcomes(segment: Segment) -> None:
    segment.begin(key(1), b"one")
    segment.seal()
    segment.end(key(1), b"done")
    assert segment.reader.read(ALL, segment.position) == [Entry(key(1), b"one", b"done")]


def test_an_outcome_beyond_the_room_is_written_all_the_same(segment: Segment) -> None:
    segment.begin(key(1), bytes(SIZE - 100))
    segment.end(key(1), bytes(200))
    assert segment.position > SIZE
    assert segment.path.stat().st_size == segment.position


def test_a_segment_cut_at_any_byte_gives_what_was_whole(segment: Segment, tmp_path: Path) -> None:
    fill(segment, [(b"intent-%d" % n, b"outcome-%d mpj1" % n) for n in range(6)])
    data = segment.path.read_bytes()[: segment.position]
    finished, known = 0, 0
    for cut in range(len(data) + 1):
        for damaged in (data[:cut], data[:cut] + bytes(100)):
            found, unfinished = recover(tmp_path / "cut", damaged)
            # Never less than with one byte less, and in the order of writing.
            assert len(found) >= finished
            assert len(found) + len(unfinished) >= known
            assert all(entry.outcome == b"outcome-%d mpj1" % number(entry) for entry in found)
            assert all(entry.intent == b"intent-%d" % number(entry) for entry in found)
            finished, known = len(found), len(found) + len(unfinished)
    assert (finished, known) == (6, 6)


def test_a_damaged_byte_costs_no_other_record(segment: Segment, tmp_path: Path) -> None:
    entries = fill(segment, [(b"intent-%d" % n, b"outcome-%d mpj1" % n) for n in range(4)])
    data = segment.path.read_bytes()[: segment.position]
    for at in range(len(data)):
        for flip in (0x01, 0x80, 0xFF):
            damaged = data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :]
            found, unfinished = recover(tmp_path / "flip", damaged)
            # Of the one whose intent is gone, the outcome is still there; nothing is made up.
            whole = [entry for entry in found if entry.intent]
            assert set(whole) <= set(entries)
            assert len(whole) == len(entries) - 1, at
            assert len(found) + len(unfinished) == len(entries)


def test_records_longer_than_a_read_are_found(segment: Segment) -> None:
    big = bytes(range(256)) * 60
    entries = []
    for number in range(3):
        segment.begin(key(number), big)
        segment.end(key(number), b"x")
        entries.append(Entry(key(number), big, b"x"))
    assert segment.reader.read(ALL, segment.position) == entries


def test_there_is_room_for_the_outcome_of_every_intent(segment: Segment) -> None:
    written = 0
    while segment.takes(b"intent"):
        segment.begin(key(written), b"intent")
        written += 1
    assert written > 20
    for number in range(written):
        segment.end(key(number), b"o" * OUTCOME_BYTES)
    assert segment.position <= SIZE
    assert segment.path.stat().st_size == SIZE
    assert len(segment.reader.read(ALL, segment.position)) == written


def test_room_is_reserved_when_the_file_is_made(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"large|space"):
        Segment(tmp_path / "huge", 1 << 62)
    assert not (tmp_path / "huge").exists()
    assert INTENT_BYTES < SIZE


def number(entry: Entry) -> int:
    return int.from_bytes(entry.key, "big")
