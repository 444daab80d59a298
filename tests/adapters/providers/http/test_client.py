import asyncio
import gzip
import zlib
from collections.abc import Iterator

import pytest

from modelplane.adapters.providers.errors import (
    MalformedAnswer,
    ProviderFailed,
    ProviderTimeout,
    ProviderUnavailable,
)
from modelplane.adapters.providers.http.client import FAILURES, Http1Transport
from modelplane.adapters.providers.http.transport import MAX_BODY_BYTES, HttpResponse
from modelplane.adapters.providers.http1.errors import HttpError, RequestInvalid
from modelplane.adapters.providers.types import HttpRequest
from tests.adapters.providers.upstream import END, EVENT_STREAM, HEAD, Upstream, chunk, document


def request_to(url: str) -> HttpRequest:
    headers = {"authorization": "Bearer sk-secret", "content-type": "application/json"}
    return HttpRequest("openai", url, headers, b'{"a":1}')


async def fetch(transport: Http1Transport, url: str) -> tuple[HttpResponse, bytes]:
    response = await transport.send(request_to(url))
    try:
        return response, await response.body()
    finally:
        response.close()


async def test_requests_share_a_connection(transport: Http1Transport, upstream: Upstream) -> None:
    for _ in range(5):
        upstream.say(document(b"ok"))
        response, body = await fetch(transport, f"{upstream.url}/v1/x?a=b%2Fc")
        assert (response.status, body) == (200, b"ok")
    assert upstream.connections == 1
    head, body = upstream.requests[0]
    assert head.startswith("POST /v1/x?a=b%2Fc HTTP/1.1\r\n")
    assert body == b'{"a":1}'


async def test_the_body_is_read_as_it_arrives(
    transport: Http1Transport, upstream: Upstream
) -> None:
    upstream.say(EVENT_STREAM)
    response = await transport.send(request_to(upstream.url))
    for text in (b"one", b"two"):
        upstream.say(chunk(text))
        assert await response.read() == text
    upstream.say(END)
    assert await response.read() == b""
    response.close()
    upstream.say(document(b"again"))
    assert (await fetch(transport, upstream.url))[1] == b"again"
    assert upstream.connections == 1


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\n"])
async def test_cancelling_before_the_headers_closes_the_connection(
    transport: Http1Transport, upstream: Upstream, said: bytes
) -> None:
    upstream.say(said)
    task = asyncio.create_task(transport.send(request_to(upstream.url)))
    await asyncio.wait_for(upstream.seen_request.wait(), 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(upstream.seen_close.wait(), 60)


async def test_cancelling_in_mid_body_closes_the_connection(
    transport: Http1Transport, upstream: Upstream
) -> None:
    upstream.say(EVENT_STREAM, chunk(b"one"))
    response = await transport.send(request_to(upstream.url))
    assert await response.read() == b"one"
    reading = asyncio.ensure_future(response.read())
    # The chunk that is to come is waited for by now.
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await asyncio.wait_for(upstream.seen_close.wait(), 60)


async def test_closing_in_mid_body_closes_the_connection(
    transport: Http1Transport, upstream: Upstream
) -> None:
    upstream.say(EVENT_STREAM, chunk(b"one"))
    response = await transport.send(request_to(upstream.url))
    assert await response.read() == b"one"
    response.close()
    await asyncio.wait_for(upstream.seen_close.wait(), 60)


async def test_a_reader_who_stops_stops_the_provider(transport: Http1Transport) -> None:
    sent = 0
    blocked = asyncio.Event()
    part = chunk(b"x" * 65536)

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(EVENT_STREAM)
        try:
            while True:
                writer.write(part)
                sent += 1
                async with asyncio.timeout(0.5):
                    await writer.drain()
        except TimeoutError:
            blocked.set()
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(flood, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        response = await transport.send(request_to(f"http://127.0.0.1:{port}/"))
        await asyncio.wait_for(blocked.wait(), 60)
        response.close()
    # What fits into the buffers of two sockets, far from everything.
    assert sent * 65536 < 64 * 1024 * 1024


async def test_redirects_cookies_and_proxies_are_ignored(
    transport: Http1Transport, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    location = f"location: {upstream.url}/elsewhere\r\nset-cookie: a=b\r\n"
    upstream.say(document(b"", "302 Found", location))
    response, _ = await fetch(transport, upstream.url)
    assert response.status == 302
    upstream.say(document(b"ok"))
    await fetch(transport, upstream.url)
    assert len(upstream.requests) == 2
    assert "cookie" not in upstream.requests[1][0].lower()


def _raw(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PLAIN = b"plain " * 100_000


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("gzip", gzip.compress(PLAIN)),
        ("X-GZip", gzip.compress(PLAIN[:6]) + gzip.compress(PLAIN[6:])),
        ("deflate", zlib.compress(PLAIN)),
        ("deflate", _raw(PLAIN)),
        ("identity", PLAIN),
    ],
)
@pytest.mark.parametrize("size", [7, 1 << 20])
async def test_a_compressed_answer_is_unpacked(
    transport: Http1Transport, upstream: Upstream, coding: str, packed: bytes, size: int
) -> None:
    head = HEAD % f"application/json\r\ncontent-encoding: {coding}".encode()
    pieces = [packed[at : at + size] for at in range(0, len(packed), size)]
    upstream.say(head, *map(chunk, pieces), END)
    assert (await fetch(transport, upstream.url))[1] == PLAIN
    assert "accept-encoding: identity" in upstream.requests[0][0].lower()


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", b"plain"),
        ("gzip", gzip.compress(PLAIN)[:-9]),
        ("deflate", b"\x78\x01plain"),
        ("br", b"plain"),
        ("gzip, gzip", gzip.compress(gzip.compress(b"plain"))),
        # A small body that stands for a very large one.
        ("gzip", gzip.compress(b"\0" * (MAX_BODY_BYTES + 1))),
    ],
    ids=range(6),
)
async def test_what_cannot_be_unpacked_is_no_answer(
    transport: Http1Transport, upstream: Upstream, coding: str, body: bytes
) -> None:
    upstream.say(document(body, headers=f"content-encoding: {coding}\r\n"))
    with pytest.raises(MalformedAnswer):
        await fetch(transport, upstream.url)


async def test_no_more_is_unpacked_than_is_asked_for(
    transport: Http1Transport, upstream: Upstream
) -> None:
    upstream.say(document(gzip.compress(b"\0" * (1 << 26)), headers="content-encoding: gzip\r\n"))
    response = await transport.send(request_to(upstream.url))
    assert 0 < len(await response.read()) <= 64 * 1024
    response.close()


@pytest.mark.parametrize(
    "said",
    [
        (None,),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", None),
        (EVENT_STREAM, chunk(b"half"), None),
    ],
)
async def test_a_connection_that_breaks_is_unavailable(
    transport: Http1Transport, upstream: Upstream, said: tuple[bytes | None, ...]
) -> None:
    upstream.say(*said)
    with pytest.raises(ProviderUnavailable):
        await fetch(transport, upstream.url)


async def test_what_is_not_http_is_a_failure(transport: Http1Transport, upstream: Upstream) -> None:
    upstream.say(b"hello\r\n\r\n", None)
    with pytest.raises(ProviderFailed):
        await fetch(transport, upstream.url)


async def test_an_endless_answer_is_cut_off(transport: Http1Transport, upstream: Upstream) -> None:
    upstream.say(EVENT_STREAM, *[chunk(b"x" * (1024 * 1024))] * (MAX_BODY_BYTES // 1024**2 + 2))
    with pytest.raises(MalformedAnswer):
        await fetch(transport, upstream.url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "http://nothing.invalid/"])
async def test_an_unreachable_host_is_unavailable(transport: Http1Transport, url: str) -> None:
    with pytest.raises(ProviderUnavailable):
        await fetch(transport, url)


async def test_a_deadline_is_the_callers(transport: Http1Transport, upstream: Upstream) -> None:
    async def end_once_asked(deadline: asyncio.Timeout) -> None:
        await upstream.seen_request.wait()
        deadline.reschedule(asyncio.get_running_loop().time())

    async with asyncio.TaskGroup() as tasks:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60) as deadline:
                tasks.create_task(end_once_asked(deadline))
                await transport.send(request_to(upstream.url))
    await asyncio.wait_for(upstream.seen_close.wait(), 60)
    assert not issubclass(ProviderTimeout, TimeoutError)


def test_a_request_shows_no_secret() -> None:
    text = repr(request_to("https://host/v1?key=sk-query"))
    assert "sk-" not in text
    assert '{"a"' not in text


def subclasses(cls: type[HttpError]) -> Iterator[type[HttpError]]:
    for one in cls.__subclasses__():
        yield one
        yield from subclasses(one)


def test_each_failure_of_the_protocol_means_something_for_a_call() -> None:
    # What cannot be sent says itself what is wrong with it.
    assert set(subclasses(HttpError)) - {RequestInvalid} == set(FAILURES)
