"""What a worker asks the control plane for, call by call."""

import asyncio
from collections.abc import AsyncIterator, Callable
from random import Random

import pytest
from modelserving.worker.v1.quota_service_pb2 import (
    LeaseQuotaRequest,
    LeaseQuotaResponse,
    QuotaDemand,
    QuotaGrant,
)
from prometheus_client import CollectorRegistry

from modelplane.adapters.shared.rpc.control_link import LinkDown
from modelplane.data_plane.errors import LimitsUnavailable
from modelplane.data_plane.limits.quota import Counter
from modelplane.data_plane.limits.quota_contact import Contact, WhenAway
from modelplane.data_plane.limits.quota_leases import QuotaLeases
from modelplane.data_plane.limits.quota_metrics import QuotaMetrics
from modelplane.data_plane.process import Clocks
from modelplane.data_plane.snapshots.limits import Rule, Scope, Unit
from tests.data_plane.fakes import FakeClock

Answer = Callable[[QuotaDemand], QuotaGrant]


def rule(name: str = "a", limit: int = 100, unit: Unit = Unit.REQUESTS) -> Rule:
    return Rule(name.encode() * 16, unit, Scope.ENDPOINT, limit)


class FakeSource:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.requests: asyncio.Queue[LeaseQuotaRequest] = asyncio.Queue()
        self.answers: asyncio.Queue[LeaseQuotaResponse | None] = asyncio.Queue()
        self.window = 7

    async def lease(self, request: LeaseQuotaRequest) -> LeaseQuotaResponse:
        self.requests.put_nowait(request)
        answer = await self.answers.get()
        if answer is None:
            raise LinkDown("told to")
        return answer

    async def asked(self) -> list[QuotaDemand]:
        request = await asyncio.wait_for(self.requests.get(), 120)
        assert request.worker_id == "worker-1"
        return list(request.demands)

    def answer(
        self, *grants: tuple[int, int], share: int = 50, unsettled: int = 0, debt: int = 0
    ) -> None:
        same = {"share": share, "unsettled": unsettled, "debt": debt}
        self.answers.put_nowait(
            LeaseQuotaResponse(
                window=self.window,
                remaining_ms=30_000,
                grants=[
                    QuotaGrant(granted=granted, remaining=left, **same) for granted, left in grants
                ],
            )
        )

    def fail(self) -> None:
        self.answers.put_nowait(None)


class World:
    def __init__(self, clock: FakeClock, when_away: WhenAway = WhenAway.CONTINUE) -> None:
        self.clock = clock
        self.source = FakeSource()
        self.registry = CollectorRegistry()
        self.ticks: asyncio.Queue[float] = asyncio.Queue()
        self.contact = Contact(when_away, 300.0)
        clocks = Clocks(clock, self._sleep, Random(1))
        metrics = QuotaMetrics(self.registry)
        self.leases = QuotaLeases("worker-1", self.source, self.contact, metrics, clocks)
        self._sleepers: list[asyncio.Future[None]] = []
        self.tasks = [
            asyncio.create_task(self.leases.run()),
            asyncio.create_task(self.leases.tick()),
        ]

    async def _sleep(self, seconds: float) -> None:
        assert 0 < seconds <= 1
        self._sleepers.append(asyncio.get_running_loop().create_future())
        await self._sleepers[-1]

    async def tick(self, seconds: float) -> None:
        """Let time pass, and all who sleep go on."""
        self.clock.now += seconds
        sleepers, self._sleepers = self._sleepers, []
        for sleeper in sleepers:
            sleeper.set_result(None)
        await self.settle()

    async def settle(self) -> None:
        """Let everything happen that can without time passing."""
        for _ in range(5):
            await asyncio.sleep(0)

    def obtain(self, counter: Counter, amount: int = 1) -> "asyncio.Task[int | None]":
        return asyncio.create_task(self.leases.obtain(counter, amount))

    async def hold(self, counter: Counter, granted: int, left: int = 50) -> None:
        """Let the worker take 1, and have `granted`."""
        task = self.obtain(counter)
        await self.source.asked()
        self.source.answer((granted, left))
        assert await task == 1


@pytest.fixture
async def world(clock: FakeClock) -> AsyncIterator[World]:
    made = World(clock)
    yield made
    for task in made.tasks:
        task.cancel()


async def test_one_call_is_under_way_and_the_next_has_what_came_meanwhile(world: World) -> None:
    first, second = (world.leases.counter(rule(name)) for name in "ab")
    tasks = [world.obtain(first)]
    (demand,) = await world.source.asked()
    assert (demand.key, demand.limit, demand.needed, demand.wanted) == (b"a" * 16, 100, 1, 1)
    tasks += [world.obtain(first), world.obtain(first, 3), world.obtain(second)]
    await asyncio.sleep(0)
    assert world.source.requests.empty()
    world.source.answer((1, 99))
    demands = {item.key[:1]: item.needed for item in await world.source.asked()}
    assert demands == {b"a": 4, b"b": 1}
    world.source.answer(*[{b"a": (4, 90), b"b": (1, 90)}[name] for name in demands])
    assert await asyncio.gather(*tasks) == [1, 1, 3, 1]


async def test_an_exhausted_limit_refuses_without_asking_again_for_a_second(
    world: World, clock: FakeClock
) -> None:
    counter = world.leases.counter(rule())
    task = world.obtain(counter)
    await world.source.asked()
    world.source.answer((0, 0))
    assert await task == 0
    assert await world.leases.obtain(counter, 1) == 0
    assert world.source.requests.empty()
    clock.now += 1.01
    task = world.obtain(counter)
    await world.source.asked()
    world.source.answer((1, 0))
    assert await task == 1


async def test_more_is_asked_for_by_the_rate_before_a_slice_is_used_up(
    world: World, clock: FakeClock
) -> None:
    counter = world.leases.counter(rule(limit=10_000))
    await world.hold(counter, 10)
    clock.now += 0.5
    while counter.take(1, clock.now) and counter.available > counter.low:
        pass
    assert counter.available == 3
    world.leases.ask_ahead(counter, clock.now)
    (demand,) = await world.source.asked()
    # 7 in half a second.
    assert (demand.needed, demand.wanted) == (0, 14)
    world.source.answer((14, 900))
    await world.tick(0)
    assert counter.available == 17


async def test_what_lies_idle_is_returned_once(world: World) -> None:
    counter = world.leases.counter(rule())
    await world.hold(counter, 5)
    await world.tick(1.0)
    assert world.source.requests.empty()
    await world.tick(1.1)
    (demand,) = await world.source.asked()
    assert (demand.needed, demand.wanted, demand.returned, demand.returned_window) == (0, 0, 4, 7)
    # The answer is lost: it may have been returned by now, so it is not said again.
    world.source.fail()
    await world.settle()
    await world.tick(1.0)
    assert await world.source.asked() == []
    world.source.answer()
    task = world.obtain(counter)
    await world.tick(1.0)
    (demand,) = await world.source.asked()
    assert (demand.needed, demand.returned) == (1, 0)
    world.source.answer((1, 9))
    assert await task == 1


async def test_debt_is_told_until_it_was_heard(world: World) -> None:
    counter = world.leases.counter(rule())
    await world.hold(counter, 1)
    world.leases.settle(counter, 0, 25, counter.window)
    await world.tick(0.1)
    assert (await world.source.asked())[0].debt == 25
    world.source.fail()
    await world.settle()
    await world.tick(1.0)
    assert (await world.source.asked())[0].debt == 25
    world.source.answer((0, 10))
    await world.tick(1.0)
    assert counter.debt == 0
    assert world.source.requests.empty()


async def test_what_is_held_pays_debt_first(world: World) -> None:
    counter = world.leases.counter(rule())
    await world.hold(counter, 11)
    world.leases.settle(counter, 0, 4, counter.window)
    assert (counter.available, counter.debt) == (6, 0)


async def test_tokens_that_were_not_used_are_returned_soon_where_little_may_lie_idle(
    world: World,
) -> None:
    counter = world.leases.counter(rule(limit=1_000, unit=Unit.TOKENS))
    task = world.obtain(counter, 100)
    await world.source.asked()
    world.source.answer((100, 900), share=10)
    assert await task == 100
    world.leases.settle(counter, 100, 60, counter.window)
    await world.settle()
    assert world.source.requests.empty()
    # Nobody waits for it here: it goes with the next call, or after a tenth of a second.
    await world.tick(0.1)
    (demand,) = await world.source.asked()
    assert (demand.used, demand.returned, demand.returned_window) == (60, 30, 7)
    assert (demand.needed, demand.wanted) == (0, 0)
    world.source.answer((0, 930), share=10)
    await world.tick(0)
    # What little is left or was used is told with the next call.
    assert counter.take(10, world.clock.now)
    world.leases.settle(counter, 10, 5, counter.window)
    await world.tick(0.1)
    assert world.source.requests.empty()
    assert (counter.available, counter.used) == (5, 5)


async def test_where_much_may_lie_idle_it_is_kept(world: World) -> None:
    counter = world.leases.counter(rule(limit=10_000, unit=Unit.TOKENS))
    task = world.obtain(counter, 100)
    await world.source.asked()
    world.source.answer((100, 9_900), share=200)
    assert await task == 100
    world.leases.settle(counter, 100, 60, counter.window)
    await world.tick(0.1)
    assert world.source.requests.empty()
    assert counter.available == 40


async def test_whoever_needs_more_than_is_left_gets_the_rest_unless_it_is_next_to_nothing(
    world: World,
) -> None:
    counter = world.leases.counter(rule(limit=1_000, unit=Unit.TOKENS))
    tasks = [world.obtain(counter, amount) for amount in (300, 300, 300)]
    await world.source.asked()
    world.source.answer((340, 0), unsettled=1_000)
    assert await asyncio.gather(*tasks) == [300, 40, 0]
    world.clock.now += 0.26
    task = world.obtain(counter, 300)
    await world.source.asked()
    world.source.answer((25, 0))
    assert await task == 0
    assert counter.available == 25


async def test_what_a_stream_will_need_is_kept_for_it(world: World) -> None:
    counter = world.leases.counter(rule(limit=1_000, unit=Unit.TOKENS))
    assert world.leases.take_up_to(counter, 30, world.clock.now) == 0
    assert world.leases.take_up_to(counter, 30, world.clock.now) == 0
    (demand,) = await world.source.asked()
    assert demand.needed == 30
    world.source.answer((30, 900), share=0)
    await world.tick(0)
    assert world.source.requests.empty()
    assert world.leases.take_up_to(counter, 30, world.clock.now) == 30
    # Where the stream has ended meanwhile, it is returned as what is idle is.
    assert world.leases.take_up_to(counter, 30, world.clock.now) == 0
    await world.source.asked()
    world.source.answer((30, 870), share=0)
    await world.tick(0)
    await world.tick(2.1)
    (demand,) = await world.source.asked()
    assert demand.returned == 30


@pytest.mark.parametrize(("unsettled", "seconds"), [(26, 0.26), (25, 1.01)])
async def test_what_others_have_reserved_is_soon_asked_for_again(
    world: World, unsettled: int, seconds: float
) -> None:
    counter = world.leases.counter(rule(limit=1_000, unit=Unit.TOKENS))
    task = world.obtain(counter, 10)
    await world.source.asked()
    world.source.answer((0, 0), unsettled=unsettled)
    assert await task == 0
    world.clock.now += seconds - 0.02
    assert await world.leases.obtain(counter, 10) == 0
    world.clock.now += 0.02
    task = world.obtain(counter, 10)
    await world.source.asked()
    world.source.answer((10, 0))
    assert await task == 10


async def test_what_others_returned_is_found_before_the_second_is_over(world: World) -> None:
    counter = world.leases.counter(rule(limit=1_000, unit=Unit.TOKENS))
    task = world.obtain(counter, 10)
    await world.source.asked()
    world.source.answer((0, 0))
    assert await task == 0
    world.leases.settle(counter, 0, 1, counter.window)
    await world.tick(0.1)
    await world.source.asked()
    world.source.answer((0, 500))
    await world.tick(0)
    task = world.obtain(counter, 10)
    await world.source.asked()
    world.source.answer((10, 0))
    assert await task == 10


async def test_another_limit_returns_what_was_granted_under_the_old_one(world: World) -> None:
    counter = world.leases.counter(rule(limit=100))
    await world.hold(counter, 5)
    late = world.obtain(counter, 90)
    (demand,) = await world.source.asked()
    assert world.leases.counter(rule(limit=3)) is counter
    assert (counter.limit, counter.available) == (3, 0)
    # What is still granted under it is returned too.
    world.source.answer((90, 0))
    (demand,) = await world.source.asked()
    assert (demand.limit, demand.returned) == (3, 94)
    world.source.answer((0, 3))
    late.cancel()


async def test_a_caller_who_goes_away_leaves_what_they_waited_for(world: World) -> None:
    counter = world.leases.counter(rule())
    gone, stays = world.obtain(counter), world.obtain(counter)
    await world.source.asked()
    world.source.answer((2, 8))
    # Cancelled in the very moment in which it was granted.
    while counter.waiters is not None:
        await asyncio.sleep(0)
    gone.cancel()
    assert await stays == 1
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert counter.available == 1


async def test_at_the_end_everything_is_returned(world: World) -> None:
    counter = world.leases.counter(rule())
    await world.hold(counter, 5)
    for task in world.tasks:
        task.cancel()
    world.source.answer((0, 9))
    await world.leases.aclose()
    (demand,) = await world.source.asked()
    assert demand.returned == 4


async def test_an_idle_worker_asks_which_window_it_is(world: World) -> None:
    counter = world.leases.counter(rule())
    await world.hold(counter, 1)
    await world.tick(14.0)
    assert world.source.requests.empty()
    await world.tick(2.0)
    assert await world.source.asked() == []
    assert world.registry.get_sample_value("modelplane_limits_away") == 0


async def test_what_is_owed_in_a_window_without_control_plane_leases_nothing_there(
    world: World,
) -> None:
    counter = world.leases.counter(rule(limit=10))
    for window in (7, 8):
        world.source.window = window
        await world.hold(counter, 4)
        counter.take(3, world.clock.now)
        await world.tick(30.0)
        await world.source.asked()
        world.source.window += 1
        world.source.answer()
        await world.tick(0)
    # Lost in window 9; in window 10 there is what 7 and 8 both had.
    lost = world.obtain(counter)
    await world.source.asked()
    world.source.fail()
    with pytest.raises(LimitsUnavailable):
        await lost
    await world.tick(35.0)
    assert await world.leases.obtain(counter, 1) == 1
    assert (counter.is_local, counter.available) == (True, 3)
    world.leases.settle(counter, 0, 8, counter.window)
    # The call that was made without demands, to find out whether someone answers.
    assert await world.source.asked() == []
    world.source.window = 10
    world.source.answer()
    await world.tick(0.1)
    (demand,) = await world.source.asked()
    assert (demand.needed, demand.wanted, demand.debt) == (0, 0, 5)
    world.source.answer((0, 4))
    await world.tick(0)
    assert await world.leases.obtain(counter, 1) == 0
    assert world.source.requests.empty()
