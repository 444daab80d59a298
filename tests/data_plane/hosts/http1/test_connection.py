"""What a connection does with what a client, or whoever takes its place, sends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelplane.data_plane.calls.call import allow
from modelplane.data_plane.hosts.http1.connection import Connection
from modelplane.data_plane.hosts.http1.head import encode_fields
from modelplane.data_plane.hosts.http1.incoming import BodyTooLong
from modelplane.data_plane.hosts.http1.listener import Bounds
from tests.data_plane.hosts.raw_http import Client, Server, listening

LIMIT = 1 << 20
PLAIN = b"content-type: text/plain\r\n"
CHUNKED = b"POST /echo HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
GET = b"GET /echo HTTP/1.1\r\nhost: x\r\n\r\n"


class Toy:
    """Answers as the path says, and counts what became of its calls."""

    def __init__(self) -> None:
        self.started = self.cancelled = self.written = 0
        self.read = b""
        self.go = asyncio.Event()

    async def __call__(self, connection: Connection) -> None:
        self.started += 1
        try:
            await self._answer(connection)
        except asyncio.CancelledError:
            self.cancelled += 1

    async def _answer(self, connection: Connection) -> None:  # noqa: C901 - a table
        match connection.target:
            case b"/echo":
                try:
                    body = await connection.read_whole(LIMIT, allow)
                except BodyTooLong:
                    connection.respond(400, PLAIN, b"too long")
                    return
                connection.respond(200, PLAIN, body)
            case b"/early":
                connection.respond(403, PLAIN, b"no")
            case b"/read":
                while data := await connection.read():
                    self.read += data
                connection.respond(200, PLAIN, b"%d" % len(self.read))
            case b"/flood":
                connection.begin(PLAIN)
                while True:
                    await connection.write(bytes(10_000))
                    self.written += 10_000
            case b"/wait":
                connection.begin(PLAIN)
                await connection.write(b"first")
                await self.go.wait()
                connection.end(b"last", b"grpc-status: 0\r\n")
            case b"/hold":
                await self.go.wait()
                connection.respond(200, PLAIN, await connection.read_whole(LIMIT, allow))
            case b"/headers":
                connection.respond(200, PLAIN, repr(sorted(connection.headers.items())).encode())

    async def until_cancelled(self, count: int = 1) -> None:
        async with asyncio.timeout(120):
            while self.cancelled < count:
                await asyncio.sleep(0.01)


@pytest.fixture
def toy() -> Toy:
    return Toy()


@pytest.fixture
async def server(toy: Toy, tmp_path: Path) -> AsyncIterator[Server]:
    async with listening(toy, tmp_path) as server:
        yield server


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    async with server.connected() as client:
        yield client


async def test_requests_follow_each_other_on_a_connection(client: Client) -> None:
    for number in range(3):
        client.post("/echo", b"body %d" % number)
        assert (await client.answer()).body == b"body %d" % number


@pytest.mark.parametrize("path", ["/echo", "/early"])
async def test_so_do_those_with_more_than_is_read_ahead(client: Client, path: str) -> None:
    body = bytes(100_000)
    first = None
    for _ in range(3):
        client.post(path, body)
        answer = await client.answer()
        assert first in (None, answer)
        first = answer


async def test_a_request_may_come_byte_by_byte(client: Client) -> None:
    request = b"POST /echo HTTP/1.1\r\nhost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    for byte in request + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nsome: trailer\r\n\r\n":
        client.send(bytes([byte]))
        await asyncio.sleep(0)
    assert (await client.answer()).body == b"abcde"
    client.send(GET)
    assert (await client.answer()).body == b""


async def test_names_of_headers_are_in_lower_case_and_the_last_of_several_wins(
    client: Client,
) -> None:
    client.send(b"GET /headers HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nx-a: 2\r\nEmpty:\r\n\r\n")
    body = (await client.answer()).body
    assert body == repr([("empty", ""), ("host", "x"), ("x-a", "2")]).encode()
    # What one request had, the next does not.
    client.send(b"GET /headers HTTP/1.1\r\nhost: y\r\n\r\n")
    assert (await client.answer()).body == repr([("host", "y")]).encode()


async def test_an_answer_in_parts_ends_with_trailers(client: Client, toy: Toy) -> None:
    client.send(b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n")
    toy.go.set()
    answer = await client.answer()
    assert answer.body == b"firstlast"
    assert answer.trailers == {"grpc-status": "0"}


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        pytest.param(b"nonsense\r\n\r\n", 400, id="no-http"),
        pytest.param(b"GET /echo HTTP/1.0\r\n\r\n", 505, id="http-1.0"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, id="http-2"),
        pytest.param(b"CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n", 400, id="connect"),
        pytest.param(
            b"GET /echo HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
            400,
            id="upgrade",
        ),
        pytest.param(
            CHUNKED[:-2] + b"content-length: 1\r\n\r\n0\r\n\r\n",
            400,
            id="two-lengths",
        ),
        pytest.param(
            b"POST /echo HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
            400,
            id="length-twice",
        ),
        pytest.param(CHUNKED + b"ZZ\r\n", 400, id="no-chunk"),
        pytest.param(b"GET /echo HTTP/1.1\r\na b: c\r\n\r\n", 400, id="name"),
        pytest.param(b"GET /echo HTTP/1.1\r\na: b\r\n c\r\n\r\n", 400, id="folded"),
        pytest.param(b"GET /echo HTTP/1.1\r\na: " + bytes(100), 400, id="nul"),
        pytest.param(b"GET /echo HTTP/1.1\r\na: " + b"b" * 70_000, 431, id="endless-header"),
        pytest.param(b"GET /echo HTTP/1.1\r\n" + b"a: b\r\n" * 20_000, 431, id="many-headers"),
        pytest.param(
            b"GET /echo HTTP/1.1\r\n" + b"".join(b"a%d: b\r\n" % n for n in range(9000)) + b"\r\n",
            431,
            id="large-head-at-once",
        ),
        pytest.param(b"GET /" + b"x" * 70_000, 431, id="endless-target"),
    ],
)
async def test_what_is_no_request_is_refused_and_ends_the_connection(
    client: Client, request_bytes: bytes, status: int
) -> None:
    client.send(request_bytes)
    answer = await client.answer()
    assert answer.status == status
    assert answer.headers["connection"] == "close"
    assert await client.at_end()


@pytest.mark.parametrize("endless", [b"1;" + b"x" * 70_000, b"0\r\n" + b"a: b\r\n" * 12_000])
async def test_what_surrounds_a_body_is_bounded(client: Client, toy: Toy, endless: bytes) -> None:
    client.send(CHUNKED)
    # A read that brings the head may bring more than is counted.
    while not toy.started:
        await asyncio.sleep(0.01)
    client.send(endless)
    assert (await client.answer()).status == 431


async def test_a_request_before_the_last_answer_is_refused_after_it(
    client: Client, toy: Toy
) -> None:
    client.send(b"GET /hold HTTP/1.1\r\nhost: x\r\n\r\n" + GET)
    client.send(GET)
    while not toy.started:
        await asyncio.sleep(0.01)
    toy.go.set()
    answer = await client.answer()
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert await client.at_end()
    assert toy.started == 1


async def test_a_client_that_must_be_asked_for_its_body_is(client: Client) -> None:
    client.post("/echo", expect="100-continue", content_length="3")
    assert await client.reader.readline() == b"HTTP/1.1 100 Continue\r\n"
    assert await client.reader.readline() == b"\r\n"
    client.send(b"abc")
    assert (await client.answer()).body == b"abc"


async def test_a_client_that_is_not_asked_for_its_body_must_not_send_it(client: Client) -> None:
    client.post("/early", expect="100-continue", content_length="3")
    answer = await client.answer()
    assert (answer.status, answer.headers["connection"]) == (403, "close")
    assert await client.at_end()


@pytest.mark.parametrize("length", [2 * LIMIT, 50 * LIMIT])
async def test_who_is_answered_early_may_go_on_sending(client: Client, length: int) -> None:
    client.post("/early", bytes(LIMIT), content_length=str(length))
    assert (await client.answer()).status == 403
    client.send(bytes(length - LIMIT) + GET)
    assert (await client.answer()).status == 200


@pytest.mark.parametrize("is_chunked", [True, False])
async def test_an_early_answer_waits_for_a_short_body(
    client: Client, toy: Toy, *, is_chunked: bool
) -> None:
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (300_000, bytes(300_000)) if is_chunked else bytes(300_000)
    if is_chunked:
        client.send(CHUNKED.replace(b"/echo", b"/early"))
    else:
        client.post("/early", content_length="300000")
    client.send(body[:100_000])
    while not toy.started:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    # Who is cut off while they send would not read why.
    assert client.reader.at_eof() is False
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await client.reader.readexactly(1)
    client.send(body[100_000:])
    assert (await client.answer()).status == 403
    client.send(GET)
    assert (await client.answer()).status == 200


async def test_an_early_answer_waits_no_longer_than_for_any_request(
    toy: Toy, tmp_path: Path
) -> None:
    async with (
        listening(toy, tmp_path, Bounds(request_seconds=1)) as server,
        server.connected() as client,
    ):
        client.post("/early", b"a", content_length="2")
        assert (await client.answer()).status == 403
        assert await client.at_end()


async def test_a_body_that_is_too_long_is_let_go(client: Client) -> None:
    client.post("/echo", bytes(3 * LIMIT))
    assert (await client.answer()).body == b"too long"
    client.send(GET)
    assert (await client.answer()).status == 200


async def test_a_body_is_read_no_faster_than_it_is_wanted(client: Client, toy: Toy) -> None:
    client.post("/hold", content_length=str(50 * LIMIT))
    client.send(bytes(50 * LIMIT))
    await asyncio.sleep(0.3)
    transport = client.writer.transport
    # What the kernel holds and the little that is read ahead.
    assert transport.get_write_buffer_size() > 45 * LIMIT
    client.leave()
    await asyncio.sleep(0.05)
    toy.go.set()
    await toy.until_cancelled()


async def test_an_answer_is_written_no_faster_than_it_is_read(client: Client, toy: Toy) -> None:
    client.send(b"GET /flood HTTP/1.1\r\nhost: x\r\n\r\n")
    before = -1
    while toy.written != before:
        before = toy.written
        await asyncio.sleep(0.2)
    # What the kernel holds, the reader's and the writer's buffers.
    assert toy.written < 4 * LIMIT
    client.leave()
    await toy.until_cancelled()


@pytest.mark.parametrize("path", ["/wait", "/hold", "/read"])
async def test_a_client_that_leaves_cancels_its_call(client: Client, toy: Toy, path: str) -> None:
    client.post(path, b"ab", content_length="3" if path == "/read" else "2")
    while not toy.started:
        await asyncio.sleep(0.01)
    client.leave()
    await toy.until_cancelled()


async def test_a_client_that_says_no_more_is_taken_for_gone(client: Client, toy: Toy) -> None:
    client.post("/hold")
    while not toy.started:
        await asyncio.sleep(0.01)
    client.writer.write_eof()
    await toy.until_cancelled()


async def test_a_head_request_gets_no_body(client: Client) -> None:
    client.send(b"HEAD /early HTTP/1.1\r\nhost: x\r\n\r\n")
    answer = await client.answer(to_head=True)
    assert answer.headers["content-length"] == "2"
    client.send(GET)
    assert (await client.answer()).status == 200


async def test_a_line_break_in_a_header_begins_no_other_one(tmp_path: Path) -> None:
    async def answer(connection: Connection) -> None:
        fields = encode_fields((("a", "b\r\nset-cookie: c\0"), ("d", "ü€")))
        connection.respond(200, fields, b"")

    async with listening(answer, tmp_path) as server, server.connected() as client:
        client.send(GET)
        answered = await client.answer()
    assert answered.headers == {"a": "bset-cookie: c", "d": "ü?", "content-length": "0"}


async def test_a_request_that_does_not_arrive_is_given_up(toy: Toy, tmp_path: Path) -> None:
    async with listening(toy, tmp_path, Bounds(request_seconds=1)) as server:
        async with server.connected() as late, server.connected() as slow:
            late.send(b"POST /echo HTTP/1.1\r\n")
            slow.post("/read", b"a", content_length="2")
            assert (await late.answer()).status == 408
            assert await late.at_end()
            assert await slow.at_end()
        await toy.until_cancelled()


# The whole of a request, and what may happen to it on its way.
REQUESTS = st.sampled_from(
    [
        GET,
        b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nabcd",
        CHUNKED + b"4\r\nabcd\r\n0\r\n\r\n",
        b"POST /early HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nabcd",
        b"POST /echo HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\nab",
        b"HEAD /early HTTP/1.1\r\nhost: x\r\n\r\n",
    ]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    requests=st.lists(REQUESTS, min_size=1, max_size=4),
    place=st.integers(0, 400),
    change=st.binary(max_size=8),
    cuts=st.lists(st.integers(0, 400), max_size=6),
)
async def test_damaged_requests_never_hang_or_break_the_server(
    server: Server,
    toy: Toy,
    requests: list[bytes],
    place: int,
    change: bytes,
    cuts: list[int],
) -> None:
    toy.go.set()
    data = b"".join(requests)
    data = data[:place] + change + data[place + len(change) // 2 :]
    async with server.connected() as client:
        start = 0
        for cut in sorted({*cuts, len(data)}):
            client.send(data[start:cut])
            start = max(start, cut)
            await asyncio.sleep(0)
        with suppress(OSError):
            client.writer.write_eof()
        async with asyncio.timeout(120):
            answered = await _read_all(client)
    # Whatever was answered is HTTP, and nothing was answered that was not asked.
    assert not answered or answered.startswith(b"HTTP/1.1 ")
    assert answered.count(b"HTTP/1.1 2") <= len(requests) + data.count(b"HTTP/1.1")
    async with server.connected() as other:
        other.send(GET)
        assert (await other.answer()).status == 200


async def _read_all(client: Client) -> bytes:
    try:
        return await client.reader.read()
    except (BrokenPipeError, ConnectionResetError):
        return b""
