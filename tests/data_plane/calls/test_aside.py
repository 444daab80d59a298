"""What is done beside calls: bounded, and brought to its end."""

import asyncio
import logging

import pytest

from modelplane.data_plane.calls.aside import Aside


async def forever() -> None:
    await asyncio.Event().wait()


async def test_no_more_is_under_way_than_may_be() -> None:
    aside = Aside(most_tasks=2, most_characters=10)
    done = asyncio.Event()

    async def wait() -> None:
        await done.wait()

    assert aside.start(wait, 8)
    assert aside.start(wait, 3) is None
    assert aside.start(wait, 2)
    assert aside.start(wait, 0) is None
    done.set()
    await aside.finish(120)
    # There is room again.
    assert aside.start(wait, 10)
    await aside.finish(120)


async def test_what_follows_is_done_even_where_something_is_broken_off() -> None:
    aside = Aside()
    first, second = aside.start(forever, 1), aside.start(forever, 1)
    assert first is not None
    assert second is not None
    followed: list[str] = []
    aside.follow([first], lambda: followed.append("first"))
    aside.follow([first, second], lambda: followed.append("both"))
    first.cancel()
    await asyncio.wait([first])
    await aside.finish(0)
    assert followed == ["first", "both"]
    assert second.cancelled()


async def test_what_fails_is_told(caplog: pytest.LogCaptureFixture) -> None:
    aside = Aside()

    async def fail() -> None:
        raise KeyError

    task = aside.start(fail, 1)
    assert task is not None
    followed: list[bool] = []
    aside.follow([task], lambda: followed.append(True))
    with caplog.at_level(logging.ERROR):
        await aside.finish(120)
    assert followed == [True]
    assert "beside a call has failed" in caplog.text
