"""Callers of limited endpoints, and what is known of their queries in the end: the truth.

A caller asks, waits for the answer, pauses and asks again; a provider answers after a while with
so and so many tokens, which nobody knows before.
"""

import asyncio
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from random import Random
from typing import Any

from modelplane.adapters.providers.types import Query, Usage
from modelplane.data_plane.errors import LimitExceeded, LimitsUnavailable
from modelplane.data_plane.limits.admission import Ending
from modelplane.data_plane.snapshots.callers import Principal
from modelplane.data_plane.snapshots.snapshot import Endpoint
from tests.limits.simulation import ALICE, Simulation, Worker, spec_for

PROMPT = 4
CHUNK = 10
_CHUNK_SECONDS = 0.05
# A caller who is refused asks again soon.
_REFUSED_SECONDS = 0.1
# So long after its end it may be that the control plane does not know what a query used.
_TOLD_SECONDS = 0.2


@dataclass(frozen=True)
class Habit:
    """How someone calls.

    Attributes:
        tokens: Tokens of a query, prompt and answer: least and most.
        clients: How many call at once.
        pause: Seconds between an answer and the next query.
        seconds: Seconds that an answer takes: least and most.
        max_tokens: What each query says; None: nothing.
        stream: Whether they stream, at 200 tokens a second.
        once: Whether each client calls once.
    """

    tokens: tuple[int, int]
    clients: int = 1
    pause: float = 0.0
    seconds: tuple[float, float] = (0.1, 0.3)
    max_tokens: int | None = None
    stream: bool = False
    once: bool = False

    def query(self) -> Query:
        bound = {} if self.max_tokens is None else {"max_tokens": self.max_tokens}
        # What `estimate_prompt` takes for PROMPT tokens.
        return Query({"messages": [{"role": "user", "content": ""}], **bound}, stream=self.stream)


@dataclass(frozen=True)
class Refusal:
    """One refusal.

    Attributes:
        left: What of the limit was left, as it turned out: neither used nor to be used by queries
            that were under way.
        retry_after: When the caller was told to come back, seconds.
        second: When, since the minute began.
    """

    left: int
    retry_after: int
    second: float


@dataclass
class Truth:
    """What became of all queries on one limit.

    Attributes:
        limit: The limit.
        used: Tokens used by the queries that were admitted in a window.
        refusals: Refusals in a window.
        settled: Tokens used by queries whose end a worker heard of.
        cut: Streams that were ended in a window.
        beyond: What single queries used beyond what was taken for them.
        under_way: Queries under way.
        most_under_way: The most that there were at once, in each window.
    """

    limit: int
    used: Counter[int] = field(default_factory=Counter)
    refusals: defaultdict[int, list[Refusal]] = field(default_factory=lambda: defaultdict(list))
    settled: int = 0
    cut: Counter[int] = field(default_factory=Counter)
    beyond: list[int] = field(default_factory=list)
    unavailable: int = 0
    under_way: int = 0
    most_under_way: Counter[int] = field(default_factory=Counter)

    def carried(self, window: int) -> int:
        """Return what a window has to pay for those before it."""
        carried = 0
        for number in range(min(self.used, default=window), window):
            carried = max(0, carried + self.used[number] - self.limit)
        return carried

    def left(self, window: int) -> int:
        return self.limit - self.carried(window) - self.used[window]

    @property
    def early(self) -> list[Refusal]:
        """Refusals with more than a tenth left."""
        return [
            item
            for items in self.refusals.values()
            for item in items
            if item.left * 10 > self.limit
        ]

    @property
    def shares(self) -> list[float]:
        """How much was used of what there was to use, in each window that refused."""
        return [
            self.used[window] / (self.limit - carried)
            for window in sorted(self.refusals)
            if (carried := self.carried(window)) < self.limit
        ]

    @property
    def overshoot(self) -> int:
        """The most that was used beyond what there was to use, in any window."""
        return max((-self.left(window) for window in self.used), default=0)

    def summary(self) -> str:
        refused = sum(map(len, self.refusals.values()))
        shares = " ".join(f"{share:.0%}" for share in self.shares)
        early, most = self.early, max(self.most_under_way.values(), default=0)
        return (
            f"used {dict(self.used)} ({shares}), {refused} refused, {len(early)} early "
            f"({max((item.left for item in early), default=0)} left), over by {self.overshoot} "
            f"({most} under way)"
        )


class Callers:
    """Clients that call as their habit is, of random workers."""

    def __init__(self, world: Simulation, endpoint: Endpoint, truth: Truth, seed: int = 1) -> None:
        self.truth = truth
        self._world = world
        self._endpoint = endpoint
        self._random = Random(seed)
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended: set[asyncio.Task[None]] = set()

    def start(self, habit: Habit, principal: Principal = ALICE) -> None:
        """Start clients."""
        for _ in range(habit.clients):
            task = asyncio.create_task(self._call(habit, principal))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Stop all clients; what they asked last is never answered."""
        for task in (*self._tasks, *self._ended):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _call(self, habit: Habit, principal: Principal) -> None:
        world, truth = self._world, self.truth
        if not habit.once and habit.clients > 1:
            await world.time.sleep(self._random.uniform(0, habit.pause))
        while True:
            worker = self._random.choice(world.workers)
            try:
                query = habit.query()
                admission = await worker.gate.admit(
                    self._endpoint, principal, query, spec_for(query)
                )
            except LimitExceeded as error:
                second = world.time.now % 60
                left = truth.left(world.window)
                truth.refusals[world.window].append(Refusal(left, error.retry_after, second))
                await world.time.sleep(_REFUSED_SECONDS)
            except LimitsUnavailable:
                truth.unavailable += 1
                await world.time.sleep(_REFUSED_SECONDS)
            else:
                await self._answer(habit, worker, admission)
            if habit.once:
                return
            await world.time.sleep(habit.pause)

    async def _answer(self, habit: Habit, worker: Worker, admission: Any) -> None:
        world, truth, window = self._world, self.truth, self._world.window
        used = self._random.randint(*habit.tokens)
        truth.used[window] += used
        truth.under_way += 1
        truth.most_under_way[window] = max(truth.most_under_way[window], truth.under_way)
        if habit.stream:
            used -= await self._stream(admission, used - PROMPT, window)
        else:
            await world.time.sleep(self._random.uniform(*habit.seconds))
        if worker in world.workers:
            truth.settled += used
            truth.beyond.append(max(0, used - taken(admission)))
            admission.settle(Usage(PROMPT, used - PROMPT), Ending.ANSWERED)
        ended = asyncio.create_task(self._end())
        self._ended.add(ended)
        ended.add_done_callback(self._ended.discard)

    async def _end(self) -> None:
        await self._world.time.sleep(_TOLD_SECONDS)
        self.truth.under_way -= 1

    async def _stream(self, admission: Any, tokens: int, window: int) -> int:
        """Stream an answer; return what of it was cut off."""
        output = 0
        while output < tokens:
            await self._world.time.sleep(_CHUNK_SECONDS)
            output = min(tokens, output + CHUNK)
            if output < tokens and not admission.allows(output):
                self.truth.used[window] -= tokens - output
                self.truth.cut[window] += 1
                return tokens - output
        return 0


def taken(admission: Any) -> int:
    """Return what is taken for a query, of the counter of which least is."""
    return min((take.before + take.amount for take in admission._takes), default=0)
