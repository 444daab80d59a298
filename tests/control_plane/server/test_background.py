import asyncio
from functools import partial

import pytest
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from modelplane.control_plane.errors import StoreUnavailable
from modelplane.control_plane.server.background import background


async def test_loops_end_first_and_what_is_due_at_the_end_is_done_last() -> None:
    said: list[str] = []

    async def loop(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            said.append(f"{name} ended")

    async def ending(name: str) -> None:
        said.append(f"{name} done")

    async with background() as running:
        running.begin(partial(loop, "a"), partial(loop, "b"))
        running.at_end(lambda: ending("first"))
        running.at_end(lambda: ending("second"))
        await asyncio.sleep(0)
        said.append("left")
    assert said == ["left", "a ended", "b ended", "second done", "first done"]


async def test_a_loop_outlives_any_error_and_leaves_the_others_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    errors = [KeyError("a bug"), TimeoutError(), PoolTimeoutError(), StoreUnavailable("away")]
    pauses: list[float] = []
    going, done = asyncio.Event(), asyncio.Event()

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async def other() -> None:
        going.set()
        await asyncio.Event().wait()

    async def broken() -> None:
        await going.wait()
        if errors:
            raise errors.pop()
        done.set()
        await asyncio.Event().wait()

    async with background(sleep) as running:
        running.begin(other, broken)
        await done.wait()
    assert pauses == [1.0] * 4
    told = [record for record in caplog.records if record.levelname == "ERROR"]
    assert [type(record.exc_info[1]) for record in told if record.exc_info] == [
        StoreUnavailable,
        PoolTimeoutError,
        TimeoutError,
        KeyError,
    ]


async def test_what_fails_at_the_end_keeps_nothing_else_from_its_end() -> None:
    said: list[str] = []

    async def fails() -> None:
        raise StoreUnavailable("away")

    async def works() -> None:
        said.append("done")

    async with background() as running:
        running.at_end(works)
        running.at_end(fails)
    assert said == ["done"]


async def test_an_error_beside_the_loops_is_raised_as_it_is() -> None:
    said: list[str] = []

    async def loop() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            said.append("ended")

    with pytest.raises(ValueError, match="a setting is wrong"):
        async with background() as running:
            running.begin(loop)
            await asyncio.sleep(0)
            raise ValueError("a setting is wrong")
    assert said == ["ended"]
