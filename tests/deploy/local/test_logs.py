"""Logs that grow, and disks that are full."""

import errno
import threading
from pathlib import Path

import pytest

from modelplane.deploy.local import logs
from modelplane.deploy.local.logs import Logs


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(logs, "MAX_LOG_BYTES", 9)
    return []


def test_a_long_log_moves_aside_while_it_is_written(tmp_path: Path, said: list[str]) -> None:
    log, keeper = tmp_path / "envoy.log", Logs(tmp_path, said.append)
    with log.open("ab", buffering=0) as writer:
        writer.write(b"short\n")
        keeper.check()
        assert log.read_bytes() == b"short\n"
        for number in range(3):
            writer.write(b"line of %d\n" % number)
            keeper.check()
            assert log.read_bytes() == b""
        writer.write(b"next\n")
    assert log.read_bytes() == b"next\n"
    assert (tmp_path / "envoy.log.1").read_bytes() == b"line of 2\n"
    assert {path.name for path in tmp_path.iterdir()} == {"envoy.log", "envoy.log.1"}
    assert said == []


def test_a_full_disk_gets_its_room_back(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log, keeper = tmp_path / "envoy.log", Logs(tmp_path, said.append)
    (tmp_path / "envoy.log.1").write_text("older")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(logs, "copy_bytes", full)
    for _ in range(2):
        log.write_bytes(b"x" * 11)
        keeper.check()
        assert log.read_bytes() == b""
    assert not (tmp_path / "envoy.log.1").exists()
    assert said == [f"cannot keep what {log} held: No space left on device"]


def test_no_line_is_lost_that_is_written_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = tmp_path / "probe"
    probe.write_bytes(bytes(1 << 20))
    with probe.open("r+b") as stream:
        if not logs.cut_front(stream, 1 << 16):
            pytest.skip("this file system cannot cut a file at its front")
    monkeypatch.setattr(logs, "MAX_LOG_BYTES", 1 << 20)
    log, older, said = tmp_path / "envoy.log", tmp_path / "envoy.log.1", list[str]()
    keeper = Logs(tmp_path, said.append)
    lines = [b"line %d of a part that never stops to write\n" % number for number in range(100_000)]

    def write() -> None:
        with log.open("ab", buffering=0) as writer:
            for line in lines:
                writer.write(line)

    log.touch()
    part = threading.Thread(target=write)
    part.start()
    while not older.exists():
        keeper.check()
    part.join()
    assert log.stat().st_size > 0
    assert (older.read_bytes() + log.read_bytes()).splitlines(keepends=True) == lines
    assert said == []
