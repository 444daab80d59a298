"""When a group's replicas are started again, and when it is given up."""

import os
import struct
import time
from pathlib import Path

import pytest

from modelplane.launcher.local.deaths import Deaths, read_asked
from modelplane.launcher.model_server.last_asked import LastAsked


def test_three_that_die_by_themselves_are_enough() -> None:
    deaths = Deaths()
    for now in (0.0, 20.0, 40.0):
        assert not deaths.are_hopeless(now)
        deaths.note(now, 5, was_asked=False)
        deaths.note_ready()
    assert deaths.are_hopeless(40)
    assert not deaths.are_hopeless(61)
    deaths.forget()
    assert not deaths.are_hopeless(40)


def test_three_that_were_never_ready_are_enough_however_long_it_took() -> None:
    deaths = Deaths()
    for now in (0.0, 50.0, 100.0):
        deaths.note(now, 45, was_asked=False)
    assert deaths.are_hopeless(100)


def test_requests_delay_the_next_start_more_and_more_and_end_nothing() -> None:
    deaths = Deaths()
    delays = []
    for now in range(10):
        deaths.note(float(now), 1, was_asked=True)
        deaths.note_ready()
        assert not deaths.are_hopeless(now)
        delays.append(round(deaths.not_before - now, 3))
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10, 10]
    # What has served for a minute begins anew.
    deaths.note(100.0, 61, was_asked=True)
    assert deaths.not_before == pytest.approx(100.1)


def test_a_server_leaves_behind_whether_it_was_asked(tmp_path: Path) -> None:
    file = tmp_path / "asked"
    assert not read_asked(file)
    asked = LastAsked(str(file))
    assert not read_asked(file)
    asked.note(1)
    assert read_asked(file)
    asked.note(0)
    assert read_asked(file)
    file.write_bytes(struct.pack("<dI", time.monotonic() - 6, 0))
    assert not read_asked(file)
    file.write_bytes(struct.pack("<dI", time.monotonic() - 600, 1))
    assert read_asked(file)


@pytest.mark.parametrize("made", ["fifo", "link", "folder", "short"])
def test_whatever_a_model_puts_there_is_read_without_harm(tmp_path: Path, made: str) -> None:
    file = tmp_path / "asked"
    match made:
        case "fifo":
            os.mkfifo(file)
        case "link":
            file.symlink_to("/dev/zero")
        case "folder":
            file.mkdir()
        case _:
            file.write_bytes(b"x")
    assert not read_asked(file)
