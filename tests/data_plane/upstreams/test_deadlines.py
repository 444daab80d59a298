"""Deadlines on a clock that the test moves, for real tasks."""

import asyncio
from collections.abc import Callable
from math import inf
from types import SimpleNamespace
from typing import Any

import pytest

from modelplane.data_plane.upstreams.deadlines import Deadlines


class MovableTime:
    """The clock and the timers of an event loop."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: dict[object, tuple[float, Callable[[], None]]] = {}

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> Any:
        key = object()
        self.timers[key] = (when, callback)
        return SimpleNamespace(cancel=lambda: self.timers.pop(key))

    async def go_on(self, seconds: float) -> None:
        self.now += seconds
        for key, (when, callback) in list(self.timers.items()):
            if when <= self.now:
                del self.timers[key]
                callback()
        # Whoever was cancelled runs.
        for _ in range(3):
            await asyncio.sleep(0)


class Setup:
    def __init__(self) -> None:
        self.time = MovableTime()
        self.deadlines = Deadlines(self.time, asyncio.current_task)  # type: ignore[arg-type]

    async def start(self, seconds: float) -> "asyncio.Task[None]":
        """Return a task that would wait for ever, were it not for its deadline."""
        task = asyncio.create_task(self._wait(seconds))
        await asyncio.sleep(0)
        return task

    async def _wait(self, seconds: float) -> None:
        with self.deadlines.within(seconds):
            await asyncio.Event().wait()


async def test_each_ends_when_its_time_has_come() -> None:
    setup = Setup()
    late, soon = await setup.start(2), await setup.start(1)
    await setup.time.go_on(0.5)
    assert not soon.done()
    await setup.time.go_on(0.5)
    assert isinstance(soon.exception(), TimeoutError)
    assert not late.done()
    await setup.time.go_on(1)
    assert isinstance(late.exception(), TimeoutError)
    assert not setup.time.timers


async def test_a_thousand_share_one_timer() -> None:
    setup = Setup()
    tasks = [await setup.start(10 + number) for number in range(1000)]
    assert len(setup.time.timers) == 1
    await setup.time.go_on(509)
    assert sum(task.done() for task in tasks) == 500
    assert len(setup.time.timers) == 1
    await setup.time.go_on(500)
    assert all(isinstance(task.exception(), TimeoutError) for task in tasks)


async def test_one_that_is_moved_ends_at_its_new_time() -> None:
    setup = Setup()
    ended = []

    async def move_on() -> None:
        with setup.deadlines.within(1) as deadline:
            deadline.move(setup.time.now + 5)
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(setup.time.now)

    task = asyncio.create_task(move_on())
    await asyncio.sleep(0)
    await setup.time.go_on(1)
    await setup.time.go_on(3)
    assert not task.done()
    await setup.time.go_on(1)
    assert isinstance(task.exception(), TimeoutError)
    assert ended == [105.0]


async def test_none_is_none() -> None:
    setup = Setup()
    with setup.deadlines.within(inf) as deadline:
        assert not setup.time.timers
        deadline.move(setup.time.now + 1)
        deadline.move(inf)
        await setup.time.go_on(1)
    assert not setup.time.timers


async def test_what_ended_in_time_is_left_alone() -> None:
    setup = Setup()
    with setup.deadlines.within(1):
        pass
    await setup.time.go_on(5)
    assert not setup.time.timers


async def test_the_error_of_the_body_goes_on() -> None:
    setup = Setup()

    async def fail() -> None:
        with setup.deadlines.within(1):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise KeyError from None

    task = asyncio.create_task(fail())
    await asyncio.sleep(0)
    await setup.time.go_on(1)
    assert isinstance(task.exception(), KeyError)


async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    setup = Setup()
    task = await setup.start(1)
    task.cancel()
    await setup.time.go_on(1)
    assert task.cancelled()


@pytest.mark.parametrize("inner", [1, 3])
async def test_one_within_another_ends_its_own_body_only(inner: float) -> None:
    setup = Setup()
    caught = []

    async def nest() -> None:
        with setup.deadlines.within(2):
            try:
                with setup.deadlines.within(inner):
                    await asyncio.Event().wait()
            except TimeoutError:
                caught.append(setup.time.now)
            await asyncio.Event().wait()

    task = asyncio.create_task(nest())
    await asyncio.sleep(0)
    await setup.time.go_on(1)
    await setup.time.go_on(1)
    assert isinstance(task.exception(), TimeoutError)
    assert caught == ([101.0] if inner == 1 else [])
