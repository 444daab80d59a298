import asyncio

import pytest

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
        running.begin(loop("a"), loop("b"))
        running.at_end(lambda: ending("first"))
        running.at_end(lambda: ending("second"))
        await asyncio.sleep(0)
        said.append("left")
    assert said == ["left", "a ended", "b ended", "second done", "first done"]


async def test_an_error_of_a_loop_ends_all_and_is_raised() -> None:
    said: list[str] = []

    async def broken() -> None:
        raise KeyError("loop")

    async def forever() -> None:
        await asyncio.Event().wait()

    async def ending() -> None:
        said.append("done")

    with pytest.raises(ExceptionGroup) as raised:
        async with background() as running:
            running.at_end(ending)
            running.begin(broken(), forever())
            await asyncio.Event().wait()
    assert [type(error) for error in raised.value.exceptions] == [KeyError]
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
            running.begin(loop())
            await asyncio.sleep(0)
            raise ValueError("a setting is wrong")
    assert said == ["ended"]
