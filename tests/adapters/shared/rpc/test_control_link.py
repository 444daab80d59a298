"""The way to the control planes: whom it asks, how long, and over what."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any
from unittest.mock import Mock

import grpc
import pytest

from modelplane.adapters.shared.rpc.control_link import (
    AnswerUnfit,
    ControlLink,
    LinkDown,
    link_files,
    parse_targets,
)

METHOD = "/plane/Ask"


class Plane(grpc.GenericRpcHandler):
    """A control plane that says who it is, unless it is told to fail or to keep silent."""

    def __init__(self, name: str) -> None:
        self.name = name.encode()
        self.callers: list[str] = []
        self.failure: grpc.StatusCode | None = None
        self.silent = False

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        del handler_call_details
        return grpc.unary_unary_rpc_method_handler(self._answer)

    async def _answer(self, request: bytes, context: Any) -> bytes:
        del request
        self.callers.append(context.peer())
        if self.silent:
            await asyncio.Event().wait()
        if self.failure is not None:
            await context.abort(self.failure, "told to")
        return self.name


@asynccontextmanager
async def serving(*planes: Plane) -> AsyncIterator[ControlLink]:
    """Run control planes, and yield a link to them."""
    async with AsyncExitStack() as stack:
        targets = []
        for plane in planes:
            server = grpc.aio.server()
            server.add_generic_rpc_handlers((plane,))
            targets.append(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
            await server.start()
            stack.push_async_callback(server.stop, None)
        yield await stack.enter_async_context(aclosing(ControlLink(targets, None)))


def question(channel: grpc.aio.Channel, seconds: float) -> Awaitable[bytes]:
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
    return call(b"", timeout=seconds)


async def test_it_stays_with_who_answers_over_one_connection() -> None:
    first, second = Plane("first"), Plane("second")
    async with serving(first, second) as link:
        assert [await link.ask(question, 5) for _ in range(3)] == [b"first"] * 3
        first.failure = grpc.StatusCode.UNAVAILABLE
        assert [await link.ask(question, 5) for _ in range(3)] == [b"second"] * 3
    assert len(first.callers) == 4
    assert len(set(first.callers)) == len(set(second.callers)) == 1


async def test_after_a_failure_the_connection_is_a_new_one() -> None:
    only = Plane("only")
    async with serving(only) as link:
        only.failure = grpc.StatusCode.INTERNAL
        with pytest.raises(LinkDown, match="INTERNAL: told to"):
            await link.ask(question, 5)
        only.failure = None
        assert await link.ask(question, 5) == b"only"
    assert len(set(only.callers)) == 2


async def test_one_that_keeps_silent_takes_its_share_of_the_time_only() -> None:
    silent, other = Plane("silent"), Plane("other")
    silent.silent = True
    shares = []

    def ask(channel: grpc.aio.Channel, seconds: float) -> Awaitable[bytes]:
        shares.append(seconds)
        return question(channel, seconds)

    async with serving(silent, other) as link:
        assert await link.ask(ask, 0.4) == b"other"
    assert shares == [0.2, 0.2]


async def test_an_answer_that_does_not_fit_is_none() -> None:
    first, second = Plane("first"), Plane("second")

    async def ask(channel: grpc.aio.Channel, seconds: float) -> bytes:
        answer = await question(channel, seconds)
        if answer == b"first":
            raise AnswerUnfit("not that one")
        return answer

    async with serving(first, second) as link:
        assert await link.ask(ask, 5) == b"second"
    async with serving(first) as link:
        with pytest.raises(LinkDown, match="not that one"):
            await link.ask(ask, 5)


async def test_each_stream_goes_to_the_next_one() -> None:
    planes = [Plane("first"), Plane("second")]
    async with serving(*planes) as link:
        seen = []
        for _ in range(3):
            target = link.target
            async with link.stream() as channel:
                seen.append(await question(channel, 5))
            assert link.target != target
        with pytest.raises(ZeroDivisionError):
            async with link.stream():
                raise ZeroDivisionError
        assert len(link) == 2
    assert seen == [b"first", b"second", b"first"]


def test_pauses_grow_with_each_round_of_failures_and_stay_short() -> None:
    link = ControlLink(["a:1", "b:2"], None)
    longest = Mock(uniform=lambda _, most: most)
    assert [link.pause(failures, longest) for failures in (0, 1, 2, 3, 4, 6)] == [
        *(0.1, 0.1),
        *(0.2, 0.2),
        *(0.4, 0.8),
    ]
    assert link.pause(10_000, longest) == 1.0


def test_a_control_plane_on_this_machine_is_looked_for_more_often() -> None:
    longest = Mock(uniform=lambda _, most: most)
    for target in ("127.0.0.1:9", "[::1]:9", "localhost:9"):
        assert ControlLink([target], None).pause(10_000, longest) == 0.2


def test_a_control_plane_elsewhere_is_not_believed_without_certificates() -> None:
    assert link_files(parse_targets("127.0.0.1:1, localhost:2"), "", "", "") is None
    with pytest.raises(ValueError, match="MODELPLANE_CONTROL_PLANE"):
        link_files(parse_targets("127.0.0.1:1, elsewhere.test:2"), "", "", "")
