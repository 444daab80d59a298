"""The end of a log: bounded, whole lines, text that every database takes."""

import asyncio
import os

from modelplane.launcher.local.tail import Printed, Tail


def test_only_the_end_is_kept_and_begins_with_a_whole_line() -> None:
    tail = Tail(most=100)
    for number in range(1000):
        tail.line(f"line {number}")
    lines = tail.text().splitlines()
    assert lines[-1] == "line 999"
    assert lines[0].startswith("line ")
    assert 80 < len(tail.text()) <= 100


def test_what_is_no_text_stays_within_the_bound() -> None:
    tail = Tail(most=100)
    tail.write(b"\xff\0" * 500 + b"\n")
    assert len(tail.text().encode()) <= 100
    assert "\0" not in tail.text()


def test_the_last_lines() -> None:
    tail = Tail()
    for number in range(9):
        tail.line(f"line {number}")
    assert tail.last_lines(2, 100) == "line 7\nline 8"
    assert tail.last_lines(2, 8) == "7\nline 8"


async def test_what_is_printed_comes_in_whole_lines() -> None:
    pieces: list[bytes] = []
    read, write = os.pipe()
    printed = Printed(read, pieces.append)
    os.write(write, b"one\ntw")
    while not pieces:
        await asyncio.sleep(0)
    os.write(write, b"o\nthree\nfo")
    os.close(write)
    while b"".join(pieces) != b"one\ntwo\nthree\nfo\n":
        await asyncio.sleep(0)
    assert all(piece.endswith(b"\n") for piece in pieces)
    printed.close()


async def test_what_is_still_in_the_pipe_is_taken_at_the_end() -> None:
    pieces: list[bytes] = []
    read, write = os.pipe()
    printed = Printed(read, pieces.append)
    os.write(write, b"last words")
    printed.close()
    assert pieces == [b"last words\n"]
    os.close(write)


async def test_a_line_without_end_is_cut() -> None:
    pieces: list[bytes] = []
    read, write = os.pipe()
    printed = Printed(read, pieces.append)
    os.write(write, b"x" * 20_000)
    os.close(write)
    while sum(map(len, pieces)) < 20_000:
        await asyncio.sleep(0)
    printed.close()
    assert b"".join(pieces).replace(b"\n", b"") == b"x" * 20_000
