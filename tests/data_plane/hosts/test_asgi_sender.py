"""What leaves when, on a server whose pace the test sets."""

import asyncio
from typing import Any

import pytest

from modelplane.data_plane.hosts.asgi_sender import Sender


class SlowServer:
    """Takes each part of a body only when it is told to, as pyvoy does when Envoy is busy."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self._taken: list[asyncio.Future[None]] = []

    def send(self, event: dict[str, Any]) -> Any:
        self.events.append(event)
        taken = asyncio.get_running_loop().create_future()
        if event.get("more_body"):
            self._taken.append(taken)
        else:
            taken.set_result(None)
        return taken

    @property
    def bodies(self) -> list[bytes]:
        return [event["body"] for event in self.events if event["type"] == "http.response.body"]

    async def take(self, error: Exception | None = None) -> None:
        taken = self._taken.pop(0)
        if error:
            taken.set_exception(error)
        else:
            taken.set_result(None)
        for _ in range(3):
            await asyncio.sleep(0)


@pytest.fixture
async def server() -> SlowServer:
    return SlowServer()


async def test_parts_leave_one_by_one_while_the_server_keeps_up(server: SlowServer) -> None:
    sender = Sender(server.send)
    await sender.start([], trailers=False)
    for part in (b"a", b"b"):
        await sender.write(part)
        await server.take()
    await sender.end(b"c")
    assert server.bodies == [b"a", b"b", b"c"]
    assert [event.get("more_body") for event in server.events] == [None, True, True, False]


async def test_parts_that_wait_leave_together(server: SlowServer) -> None:
    sender = Sender(server.send)
    for part in (b"a", b"b", b"c"):
        await sender.write(part)
    assert server.bodies == [b"a"]
    await server.take()
    assert server.bodies == [b"a", b"bc"]
    await sender.write(b"d")
    await sender.end(b"e", [(b"grpc-status", b"0")])
    assert server.bodies == [b"a", b"bc", b"de"]
    assert server.events[-1]["type"] == "http.response.trailers"
    assert sender.sent == 4


async def test_who_writes_more_than_is_read_waits(server: SlowServer) -> None:
    sender = Sender(server.send)
    await sender.write(b"first")
    await sender.write(b"x" * 64 * 1024)
    writing = asyncio.ensure_future(sender.write(b"y"))
    await asyncio.sleep(0)
    assert not writing.done()
    await server.take()
    assert writing.done()
    assert server.bodies == [b"first", b"x" * 64 * 1024 + b"y"]


@pytest.mark.parametrize("waits", [False, True])
async def test_who_writes_to_a_caller_who_left_is_cancelled(
    server: SlowServer, *, waits: bool
) -> None:
    sender = Sender(server.send)
    await sender.write(b"first")
    if waits:
        writing = asyncio.ensure_future(sender.write(b"x" * 100_000))
        await asyncio.sleep(0)
        await server.take(ConnectionResetError())
        assert writing.cancelled()
    else:
        await server.take(ConnectionResetError())
    assert sender.left
    with pytest.raises(asyncio.CancelledError):
        await sender.write(b"more")
    with pytest.raises(ConnectionResetError):
        await sender.end()
    assert server.bodies == [b"first"]


async def test_one_that_is_cancelled_while_it_waits_stops(server: SlowServer) -> None:
    sender = Sender(server.send)
    await sender.write(b"first")
    writing = asyncio.ensure_future(sender.write(b"x" * 100_000))
    await asyncio.sleep(0)
    writing.cancel()
    await server.take()
    assert writing.cancelled()


async def test_the_order_holds_where_each_send_is_a_coroutine() -> None:
    bodies = []

    async def send(event: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        if event["type"] == "http.response.body":
            bodies.append(event["body"])

    sender = Sender(send)
    await sender.start([], trailers=False)
    for part in (b"a", b"b", b"c"):
        await sender.write(part)
    await sender.end(b"d")
    assert b"".join(bodies) == b"abcd"
