import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelplane.adapters.providers.http1.connection import MAX_HEAD_BYTES, Connection
from modelplane.adapters.providers.http1.errors import (
    CodingUnknown,
    ConnectionLost,
    HttpError,
    ResponseInvalid,
)
from modelplane.adapters.providers.http1.request import Origin

OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = b"content-length: 5\r\n\r\nhello"
CHUNKED = b"transfer-encoding: chunked\r\n\r\n"


class FakeTransport(asyncio.Transport):
    """Keeps what was written; loses the connection when it is told to."""

    def __init__(self, protocol: Connection) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.reading = True
        self.closed = False
        self._protocol = protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    def lose(self) -> None:
        """Close from the other side."""
        if not self.closed:
            self.closed = True
            self._protocol.connection_lost(None)


def connect() -> tuple[Connection, FakeTransport]:
    connection = Connection(
        Origin("http", "h", 80), asyncio.get_running_loop(), lambda _connection: None
    )
    transport = FakeTransport(connection)
    connection.connection_made(transport)
    return connection, transport


@dataclass(frozen=True)
class Got:
    status: int
    body: bytes
    kept: bool
    headers: dict[str, str] = field(compare=False, default_factory=dict)


async def ask(connection: Connection, head: bytes, body: bytes) -> bool:
    await connection.send(head, body)
    return connection.answered()


async def read(connection: Connection) -> bytes:
    while not connection.buffered and not connection.at_end():
        await connection.arrival()
    return connection.take()


async def exchange(
    connection: Connection, transport: FakeTransport, parts: Sequence[bytes], *, closes: bool
) -> Got:
    asked = asyncio.create_task(ask(connection, b"head", b"body"))
    await asyncio.sleep(0)
    for part in parts:
        if part and not transport.closed:
            connection.data_received(part)
    if closes:
        transport.lose()
    async with asyncio.timeout(60):
        assert await asked
        body = b""
        while data := await read(connection):
            body += data
    got = Got(connection.status, body, connection.release(), connection.headers)
    await asyncio.sleep(0)
    return got


def answer(*parts: bytes, closes: bool = False) -> Got:
    async def run() -> Got:
        return await exchange(*connect(), parts, closes=closes)

    return asyncio.run(run())


CASES = {
    "length": (OK + LENGTH, Got(200, b"hello", kept=True)),
    "empty": (OK + b"Content-Length: 0\r\n\r\n", Got(200, b"", kept=True)),
    "chunked": (OK + CHUNKED + b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", Got(200, b"hello", kept=True)),
    "trailers": (
        OK + CHUNKED + b"5;a=b\r\nhello\r\n0\r\nx-sum: 1\r\nx-more: 2\r\n\r\n",
        Got(200, b"hello", kept=True),
    ),
    "informational": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK + LENGTH,
        Got(200, b"hello", kept=True),
    ),
    "close": (OK + b"connection: close\r\n" + LENGTH, Got(200, b"hello", kept=False)),
    "1.0": (b"HTTP/1.0 200 OK\r\n" + LENGTH, Got(200, b"hello", kept=False)),
    "1.0 kept": (
        b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n" + LENGTH,
        Got(200, b"hello", kept=True),
    ),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", Got(204, b"", kept=True)),
    "304": (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", Got(304, b"", kept=True)),
    "error": (b"HTTP/1.1 429 \r\nretry-after: 3\r\n" + LENGTH, Got(429, b"hello", kept=True)),
}
UNTIL_CLOSE = {
    "until close": OK + b"\r\nhello",
    "until close, 1.0": b"HTTP/1.0 200 OK\r\n\r\nhello",
}


@pytest.mark.parametrize("case", CASES)
def test_a_response_may_be_split_anywhere(case: str) -> None:
    wire, expected = CASES[case]
    assert answer(wire) == expected
    assert answer(*[wire[i : i + 1] for i in range(len(wire))]) == expected
    for cut in range(1, len(wire)):
        assert answer(wire[:cut], wire[cut:]) == expected


@pytest.mark.parametrize("case", UNTIL_CLOSE)
def test_a_body_may_last_until_the_connection_closes(case: str) -> None:
    wire = UNTIL_CLOSE[case]
    for cut in range(1, len(wire)):
        assert answer(wire[:cut], wire[cut:], closes=True) == Got(200, b"hello", kept=False)


@given(st.lists(st.sampled_from(sorted(CASES)), min_size=1), st.data())
def test_responses_follow_each_other(names: list[str], data: st.DataObject) -> None:
    async def run() -> None:
        connection, transport = connect()
        for name in names:
            wire, expected = CASES[name]
            cuts = sorted(data.draw(st.sets(st.integers(0, len(wire)), max_size=5)))
            edges = [0, *cuts, len(wire)]
            parts = [wire[a:b] for a, b in pairwise(edges)]
            got = await exchange(connection, transport, parts, closes=False)
            assert got == expected
            # A trailer of one response is no header of the next.
            assert "x-sum" not in got.headers
            assert "x-more" not in got.headers
            if not got.kept:
                connection, transport = connect()

    asyncio.run(run())


@given(st.sampled_from(sorted(CASES)), st.data())
def test_a_truncated_response_fails(name: str, data: st.DataObject) -> None:
    wire, _ = CASES[name]
    cut = data.draw(st.integers(0, len(wire) - 1))
    with pytest.raises(ConnectionLost):
        answer(wire[:cut], closes=True)


@given(st.sampled_from(sorted(CASES)), st.data())
def test_garbage_is_an_error_or_an_answer_and_never_waits(name: str, data: st.DataObject) -> None:
    wire, _ = CASES[name]
    start = data.draw(st.integers(0, len(wire)))
    end = data.draw(st.integers(start, len(wire)))
    noise = data.draw(st.binary(max_size=20))
    try:
        answer(wire[:start] + noise + wire[end:], closes=True)
    except HttpError:
        return


@pytest.mark.parametrize(
    "wire",
    [
        b"hello\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        OK + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        OK + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"content-length: -1\r\n\r\n",
        OK + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        OK + b"transfer-encoding: gzip\r\n\r\nhello",
        OK + CHUNKED + b"x\r\nhello\r\n0\r\n\r\n",
        OK + b"x: " + b"y" * MAX_HEAD_BYTES + b"\r\n" + LENGTH,
        OK + b"x: y\r\n" * MAX_HEAD_BYTES,
    ],
    ids=lambda wire: repr(wire[:60]),
)
@pytest.mark.parametrize("step", [1000, 1_000_000])
def test_what_is_not_a_plain_response_is_malformed(wire: bytes, step: int) -> None:
    with pytest.raises(ResponseInvalid):
        answer(*[wire[i : i + step] for i in range(0, len(wire), step)])


@pytest.mark.parametrize("coding", [b"br", b"identity, br", b"gzip, gzip"])
def test_a_coding_that_is_not_known_makes_no_answer(coding: bytes) -> None:
    with pytest.raises(CodingUnknown):
        answer(OK + b"content-encoding: " + coding + b"\r\n" + LENGTH + b"hello")


def test_endless_trailers_are_cut_off() -> None:
    with pytest.raises(ResponseInvalid):
        answer(OK + CHUNKED + b"0\r\n", *[b"x: " + b"y" * 1000] * (MAX_HEAD_BYTES // 900))


def test_a_head_of_nearly_the_limit_is_read_however_it_comes() -> None:
    wire = OK + b"x: " + b"y" * (MAX_HEAD_BYTES - 200) + b"\r\n" + LENGTH
    for step in (100, len(wire)):
        parts = [wire[i : i + step] for i in range(0, len(wire), step)]
        assert answer(*parts) == Got(200, b"hello", kept=True)


def test_header_names_are_in_lower_case_and_the_last_of_several_wins() -> None:
    got = answer(OK + b"X-A: 1\r\nx-a: 2\r\nContent-Type: a/\xfc\r\n" + LENGTH)
    assert got.headers["x-a"] == "2"
    assert got.headers["content-type"] == "a/ü"


@pytest.mark.parametrize("surplus", [b"x", b"HTTP/1.1 200 OK\r\n\r\n", OK + LENGTH])
def test_bytes_after_the_end_close_the_connection(surplus: bytes) -> None:
    for parts in ((OK + LENGTH + surplus,), (OK + LENGTH, surplus)):
        assert answer(*parts) == Got(200, b"hello", kept=False)


async def test_bytes_on_an_idle_connection_close_it() -> None:
    connection, transport = connect()
    assert (await exchange(connection, transport, [OK + LENGTH], closes=False)).kept
    connection.data_received(OK + LENGTH)
    assert transport.closed
    assert not connection.usable


async def test_a_response_that_is_not_at_its_end_closes_the_connection() -> None:
    connection, transport = connect()
    asked = asyncio.create_task(ask(connection, b"", b""))
    await asyncio.sleep(0)
    connection.data_received(OK + b"content-length: 5\r\n\r\nhell")
    assert await asked
    assert not connection.release()
    assert transport.closed


async def test_a_full_buffer_stops_the_reading_until_it_is_read() -> None:
    connection, transport = connect()
    asked = asyncio.create_task(ask(connection, b"", b""))
    await asyncio.sleep(0)
    connection.data_received(OK + b"content-length: 1000000\r\n\r\n")
    assert await asked
    connection.data_received(b"x" * 60_000)
    assert transport.reading
    connection.data_received(b"y" * 60_000)
    assert not transport.reading
    assert await read(connection) == b"x" * 60_000 + b"y" * 60_000
    assert transport.reading


async def test_a_large_body_is_not_copied_into_the_head() -> None:
    connection, transport = connect()
    written: list[bytes] = []
    transport.writelines = written.extend  # type: ignore[method-assign,assignment]
    body = b"x" * 100_000
    asked = asyncio.create_task(ask(connection, b"head", body))
    await asyncio.sleep(0)
    assert written[0] == b"head"
    assert written[1] is body
    transport.lose()
    with pytest.raises(ConnectionLost):
        await asked
