from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelplane.adapters.providers.http.sse import SseParser

BODY = (
    b": a comment\n"
    b"data: one\n\n"
    b"data:two\r\n\r\n"
    b"event: delta\nid: 7\nretry: 10\ndata:  three\ndata:four\n\n"
    b"data\n\n"
    b"data:\n\n\n\n"
    b"other: x\n\n"
    b"data: caf\xc3\xa9 \xe2\x82\xac\r\r"
    b"data: last"
)
EVENTS = [b"one", b"two", b" three\nfour", b"caf\xc3\xa9 \xe2\x82\xac", b"last"]


def parse(*parts: bytes) -> list[bytes]:
    parser = SseParser()
    events = [event for part in parts for event in parser.feed(part)]
    return [*events, *parser.finish()]


def test_whole() -> None:
    assert parse(BODY) == EVENTS


@pytest.mark.parametrize("index", range(len(BODY) + 1))
def test_split_anywhere(index: int) -> None:
    assert parse(BODY[:index], BODY[index:]) == EVENTS


def test_byte_by_byte() -> None:
    assert parse(*(bytes([byte]) for byte in BODY)) == EVENTS


@given(st.lists(st.integers(0, len(BODY)), max_size=10))
def test_split_many_times(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(BODY)]
    assert parse(*(BODY[a:b] for a, b in pairwise(edges))) == EVENTS


@given(st.binary(max_size=200))
def test_anything_parses(data: bytes) -> None:
    assert parse(data) == parse(*(bytes([byte]) for byte in data))


@pytest.mark.parametrize("part", [b"data: 12345", b"data: 123\ndata: 45\n"])
def test_an_event_has_a_bound(part: bytes) -> None:
    parser = SseParser(max_event_bytes=4)
    with pytest.raises(ValueError, match="too large"):
        list(parser.feed(part))


@pytest.mark.parametrize(
    "data", [b"data: one\n\n", b"data: \n\n", b"data: a\ndata: b\n\n", b"data: a\rb\n\n"]
)
def test_an_event_that_comes_by_itself_is_what_it_is_in_pieces(data: bytes) -> None:
    assert parse(data, data) == parse(*(bytes([byte]) for byte in data * 2))
    # A line that has begun goes on.
    assert parse(b"data: x", data) == parse(b"data: x" + data)
