"""Logs that are read while they grow and while their fronts are moved aside."""

from pathlib import Path

import pytest

from modelplane.deploy.command.logs.files import Log
from modelplane.deploy.local import logs
from modelplane.deploy.local.logs import Logs


@pytest.fixture(name="keeper")
def _keeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Logs:
    monkeypatch.setattr(logs, "MAX_LOG_BYTES", 20_000)
    return Logs(tmp_path, pytest.fail)


def test_whole_lines_are_read_as_they_come(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    log = Log(path)
    assert list(log.lines()) == []
    with path.open("ab", buffering=0) as writer:
        writer.write(b"one\ntw")
        assert list(log.lines()) == [b"one"]
        writer.write(b"o\nthree\n")
        assert list(log.lines()) == [b"two", b"three"]


def test_the_end_of_a_log_begins_with_a_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    path.write_bytes(b"one\ntwo\nthree\n")
    assert list(Log(path, tail_bytes=8).lines()) == [b"three"]
    assert list(Log(path, tail_bytes=100).lines()) == [b"one", b"two", b"three"]
    assert list(Log(path).lines()) == []


@pytest.mark.parametrize("cuts", [True, False])
def test_no_line_is_lost_or_told_twice_when_a_log_is_cut(
    tmp_path: Path, keeper: Logs, monkeypatch: pytest.MonkeyPatch, *, cuts: bool
) -> None:
    """With a file system that can take blocks out of a file's front, and without."""
    if not cuts:
        monkeypatch.setattr(logs, "cut_front", lambda *_: False)
    path = tmp_path / "worker.log"
    path.touch()
    log, read = Log(path), []
    with path.open("ab", buffering=0) as writer:
        for number in range(3000):
            writer.write(b"line of %d\n" % number)
            if number % 7 == 0:
                read += list(log.lines())
            if number % 500 == 0:
                keeper.check()
    read += list(log.lines())
    assert read == [b"line of %d" % number for number in range(3000)]
    assert (tmp_path / "worker.log.1").exists()


def test_what_is_no_line_has_a_bound(tmp_path: Path) -> None:
    path = tmp_path / "envoy.log"
    log = Log(path)
    path.write_bytes(b"x" * 200_000 + b"\nnext\n")
    log = Log(path, tail_bytes=1 << 20)
    assert list(log.lines())[-1] == b"next"
