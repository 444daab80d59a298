import gzip
import itertools
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelplane.adapters.shared.rpc.framing import (
    FrameError,
    MessageReader,
    MessageTooLong,
    encode_message,
    encode_status_message,
    parse_timeout,
)

LIMIT = 1000


@given(st.lists(st.binary(max_size=300), max_size=5), st.lists(st.integers(0, 1600), max_size=9))
def test_messages_are_found_however_their_body_is_cut(
    messages: list[bytes], cuts: list[int]
) -> None:
    body = b"".join(map(encode_message, messages))
    ends = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    reader = MessageReader(LIMIT)
    found = []
    for start, end in itertools.pairwise(ends):
        found += reader.feed(body[start:end])
    reader.finish()
    assert found == messages


@given(st.binary(min_size=1, max_size=50), st.data())
def test_a_body_that_ends_within_a_message_is_an_error(message: bytes, data: st.DataObject) -> None:
    body = encode_message(message)
    reader = MessageReader(LIMIT)
    assert not reader.feed(body[: data.draw(st.integers(1, len(body) - 1))])
    with pytest.raises(FrameError, match="within a message"):
        reader.finish()


def test_a_long_message_is_refused_before_it_is_read() -> None:
    prefix = encode_message(b"x" * (LIMIT + 1))[:5]
    with pytest.raises(MessageTooLong, match="1001 bytes"):
        MessageReader(LIMIT).feed(prefix)
    assert MessageReader(LIMIT).feed(encode_message(b"x" * LIMIT)) == [b"x" * LIMIT]


@pytest.mark.parametrize(
    ("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
def test_a_compressed_message_is_read(encoding: str, compress: Callable[[bytes], bytes]) -> None:
    plain = b"x" * 100
    packed = compress(plain)
    data = compressed(packed) + encode_message(b"y")
    assert MessageReader(100, encoding).feed(data) == [plain, b"y"]
    for part in (packed[:-1], b"", b"no such thing", packed[:-1] + b"!"):
        with pytest.raises(FrameError, match=encoding):
            MessageReader(100, encoding).feed(compressed(part))


def test_a_compressed_message_may_not_be_longer_than_any_other() -> None:
    bomb = gzip.compress(b"\0" * 100_000_000)
    with pytest.raises(MessageTooLong, match="longer than 1000000"):
        MessageReader(1_000_000, "gzip").feed(compressed(bomb))


def compressed(content: bytes) -> bytes:
    return b"\1" + len(content).to_bytes(4, "big") + content


def test_a_compressed_message_that_does_not_say_how_is_refused() -> None:
    with pytest.raises(FrameError, match="compressed"):
        MessageReader(LIMIT).feed(b"\1" + encode_message(b"x")[1:])


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("1H", 3600),
        ("2M", 120),
        ("3S", 3),
        ("250m", 0.25),
        ("100u", 1e-4),
        ("0n", 0),
        ("99999999S", 99_999_999),
        ("", None),
        ("S", None),
        ("5", None),
        ("5s", None),
        ("-5S", None),
        ("1.5S", None),
        ("123456789S", None),
        ("٣S", None),
    ],
)
def test_timeouts(value: str, seconds: float | None) -> None:
    assert parse_timeout(value) == (None if seconds is None else pytest.approx(seconds))


def test_a_status_message_is_percent_encoded() -> None:
    assert encode_status_message("a 'b' [c] ~") == "a 'b' [c] ~"
    assert encode_status_message("50%\nü") == "50%25%0A%C3%BC"
    assert encode_status_message("\ud800") == "?"


def test_a_message_in_small_parts_is_copied_once() -> None:
    body = encode_message(b"x" * 100)
    reader = MessageReader(LIMIT)
    reader.feed(body[:1])
    # What is added to is one and the same, however many parts follow.
    kept = reader._buffer
    for place in range(1, len(body) - 1):
        assert not reader.feed(body[place : place + 1])
        assert reader._buffer is kept
    assert reader.feed(body[-1:]) == [b"x" * 100]
