"""Calls that come while others are being answered share the next turn."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from modelplane.control_plane.errors import StoreUnavailable
from modelplane.control_plane.limits.turns import Turns


class Work:
    """Answers with what it was asked, a turn at a time, once it may."""

    def __init__(self, most_turns: int = 1) -> None:
        self.turns: Turns[int, str] = Turns(self.serve, lambda call: call, most_turns, 100)
        self.served: list[list[int]] = []
        self.free = asyncio.Event()
        self.begun = asyncio.Event()
        self.cancelled = 0

    async def serve(self, take: Callable[[], Sequence[int]]) -> list[str]:
        calls = list(take())
        self.served.append(calls)
        self.begun.set()
        try:
            await self.free.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if -1 in calls:
            raise ValueError("a call that cannot be answered")
        return [f"answer {call}" for call in calls]

    def ask(self, *calls: int) -> list["asyncio.Task[str]"]:
        return [asyncio.create_task(self.turns.take(call)) for call in calls]


@pytest.fixture
async def work() -> Work:
    return Work()


async def test_one_alone_waits_for_no_other(work: Work) -> None:
    work.free.set()
    assert await work.turns.take(1) == "answer 1"
    assert work.served == [[1]]


async def test_those_who_come_meanwhile_are_answered_together(work: Work) -> None:
    asked = work.ask(1)
    await work.begun.wait()
    asked += work.ask(2, 3, 4)
    await asyncio.sleep(0)
    work.free.set()
    assert await asyncio.gather(*asked) == [f"answer {call}" for call in (1, 2, 3, 4)]
    assert work.served == [[1], [2, 3, 4]]


async def test_a_turn_has_no_more_than_it_may(work: Work) -> None:
    asked = work.ask(1)
    await work.begun.wait()
    asked += work.ask(60, 40, 1, 500)
    await asyncio.sleep(0)
    work.free.set()
    await asyncio.gather(*asked)
    assert work.served == [[1], [60, 40], [1], [500]]


async def test_several_turns_go_on_at_a_time() -> None:
    work = Work(most_turns=2)
    asked = work.ask(1)
    await work.begun.wait()
    work.begun.clear()
    asked += work.ask(2)
    await work.begun.wait()
    asked += work.ask(3, 4)
    await asyncio.sleep(0)
    assert work.served == [[1], [2]]
    work.free.set()
    assert len(await asyncio.gather(*asked)) == 4


async def test_one_that_cannot_be_answered_fails_no_other(work: Work) -> None:
    asked = work.ask(1)
    await work.begun.wait()
    asked += work.ask(2, -1, 3)
    await asyncio.sleep(0)
    work.free.set()
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert found[:2] == ["answer 1", "answer 2"]
    assert isinstance(found[2], ValueError)
    assert found[3] == "answer 3"


async def test_all_are_told_that_the_database_is_away() -> None:
    tried = 0

    async def serve(_take: Callable[[], Sequence[int]]) -> list[str]:
        nonlocal tried
        tried += 1
        await asyncio.sleep(0)
        raise StoreUnavailable("away")

    turns: Turns[int, str] = Turns(serve, lambda call: call, 1, 100)
    found = await asyncio.gather(*map(turns.take, (1, 2, 3)), return_exceptions=True)
    assert [str(error) for error in found] == ["away"] * 3
    assert tried == 1


async def test_who_has_gone_before_its_turn_is_not_answered(work: Work) -> None:
    (first,) = work.ask(1)
    await work.begun.wait()
    gone, last = work.ask(2, 3)
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait([gone])
    work.free.set()
    assert [await first, await last] == ["answer 1", "answer 3"]
    assert work.served == [[1], [3]]


async def test_a_turn_for_nobody_is_given_up(work: Work) -> None:
    (first,) = work.ask(1)
    await work.begun.wait()
    two, three = work.ask(2, 3)
    first.cancel()
    await asyncio.wait([first])
    while len(work.served) < 2:
        await asyncio.sleep(0)
    assert work.cancelled == 1
    # One of them still waits.
    two.cancel()
    await asyncio.wait([two])
    work.free.set()
    assert await three == "answer 3"
    assert work.cancelled == 1


async def test_no_turn_begins_for_those_whom_another_will_take() -> None:
    work = Work(most_turns=4)
    asked = work.ask(1, 2, 3)
    await work.begun.wait()
    (late,) = work.ask(4)
    while len(work.served) < 2:
        await asyncio.sleep(0)
    work.free.set()
    await asyncio.gather(*asked, late)
    assert work.served == [[1, 2, 3], [4]]
    # Whoever has an answer leaves nothing behind that still has the database.
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_whoever_gives_up_is_gone_after_its_turn(work: Work) -> None:
    asked = work.ask(1)
    await work.begun.wait()
    asked += work.ask(2)
    await asyncio.sleep(0)
    for one in asked:
        one.cancel()
    await asyncio.wait(asked)
    assert asyncio.all_tasks() == {asyncio.current_task()}
