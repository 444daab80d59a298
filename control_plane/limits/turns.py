"""Lets calls that come while others are being answered be answered together, in the next turn.

A transaction costs as much for one call as for many, so that under load each takes a part of one,
and none waits for others to come. Before: `quota`.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

from modelplane.control_plane.errors import StoreUnavailable

C = TypeVar("C")
A = TypeVar("A")
# Tells whose calls are to be answered, once it is asked.
Take = Callable[[], Sequence[C]]


@dataclass(eq=False, slots=True)
class _Waiter(Generic[C, A]):
    """A call, and the answer to come."""

    call: C
    answer: "asyncio.Future[A]"


@dataclass(eq=False, slots=True)
class _Turn(Generic[C, A]):
    """Some calls that are being answered."""

    task: "asyncio.Task[None] | None" = None
    has_asked: bool = False
    taken: "list[_Waiter[C, A]]" = field(default_factory=list)


class Turns(Generic[C, A]):
    """Answers calls, several in a turn, and some turns at a time."""

    def __init__(
        self,
        serve: Callable[[Take[C]], Awaitable[Sequence[A]]],
        size_of: Callable[[C], int],
        most_turns: int,
        most_in_turn: int,
    ) -> None:
        """Answer calls with `serve`.

        Args:
            serve: Makes the answers, in order, to the calls that it is told of when it asks: late,
                so that they are many; none, where another turn was quicker.
            size_of: Tells how large a call is.
            most_turns: Turns at a time.
            most_in_turn: Sizes of a turn's calls together; one that is larger has its own.
        """
        self._serve = serve
        self._size_of = size_of
        self._most_turns = most_turns
        self._most_in_turn = most_in_turn
        self._waiting: deque[_Waiter[C, A]] = deque()
        self._turns: set[_Turn[C, A]] = set()

    async def take(self, call: C) -> A:
        """Return the answer to a call.

        Raises:
            StoreUnavailable: None could be made now.
        """
        waiter: _Waiter[C, A] = _Waiter(call, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        self._begin()
        try:
            return await waiter.answer
        except asyncio.CancelledError:
            # What is granted to nobody would be lost; and nobody is gone before the database is
            # let go of, which may be closed next.
            if tasks := self._give_up():
                await asyncio.wait(tasks)
            raise

    def _give_up(self) -> "list[asyncio.Task[None]]":
        """End the turns that are for nobody any more, and return them."""
        rest = self._waiting = deque(one for one in self._waiting if not one.answer.done())
        given_up = []
        for turn in self._turns:
            whose = turn.taken if turn.has_asked else rest
            if turn.task and all(waiter.answer.done() for waiter in whose):
                turn.task.cancel()
                given_up.append(turn.task)
        return given_up

    def _begin(self) -> None:
        if not self._waiting or len(self._turns) == self._most_turns:
            return
        # It takes all of them, or as many as it may.
        if any(not turn.has_asked for turn in self._turns):
            return
        turn: _Turn[C, A] = _Turn()
        self._turns.add(turn)
        turn.task = asyncio.create_task(self._run(turn))

    async def _run(self, turn: _Turn[C, A]) -> None:
        def take() -> Sequence[C]:
            if not turn.has_asked:
                turn.has_asked = True
                turn.taken = self._drain()
                self._begin()
            return [waiter.call for waiter in turn.taken]

        try:
            answers = await self._serve(take)
            for waiter, answer in zip(turn.taken, answers, strict=True):
                _settle(waiter, answer)
        except StoreUnavailable as error:
            # Those who wait would be told the same.
            take()
            for waiter in turn.taken:
                _refuse(waiter, StoreUnavailable(str(error)))
        except Exception as error:  # noqa: BLE001 - each who waits gets an answer, or an error
            take()
            await self._serve_apart(turn, error)
        finally:
            for waiter in turn.taken:
                waiter.answer.cancel()
            self._turns.discard(turn)
            self._begin()

    async def _serve_apart(self, turn: _Turn[C, A], error: Exception) -> None:
        """Answer each call by itself, where one of them may have failed them all."""
        if len(turn.taken) == 1:
            _refuse(turn.taken[0], error)
            return
        for waiter in turn.taken:
            try:
                (answer,) = await self._serve(partial(list, [waiter.call]))
                _settle(waiter, answer)
            except Exception as own:  # noqa: BLE001 - the same
                _refuse(waiter, own)

    def _drain(self) -> list[_Waiter[C, A]]:
        """Take those who wait, as many as one turn may have."""
        taken: list[_Waiter[C, A]] = []
        size = 0
        while self._waiting:
            waiter = self._waiting[0]
            own = self._size_of(waiter.call)
            if taken and size + own > self._most_in_turn:
                break
            self._waiting.popleft()
            if not waiter.answer.done():
                taken.append(waiter)
                size += own
        return taken


def _settle(waiter: _Waiter[C, A], answer: A) -> None:
    if not waiter.answer.done():
        waiter.answer.set_result(answer)


def _refuse(waiter: _Waiter[C, A], error: Exception) -> None:
    if not waiter.answer.done():
        waiter.answer.set_exception(error)
