"""Queries that wait: held while a model starts or is busy, within bounds, and never by others."""

import asyncio
from pathlib import Path

import pytest
from modelserving.v1.ai_gateway_pb2 import AiGatewayConfig, FallbackConfig, UsageTrackingConfig

from tests.data_plane.conftest import running_system
from tests.data_plane.envoy import Bridge
from tests.data_plane.fakes import FakeControlPlane
from tests.data_plane.hosting.model_server import ModelServer, model_servers
from tests.data_plane.hosting.world import BODY, GROUP, OTHER, World, group

BUSY = (
    "Too many concurrent requests. Consider increasing the provisioned concurrency of the served "
    "entity."
)


async def test_a_burst_is_held_and_answered_in_order_once_there_is_a_replica(world: World) -> None:
    server = ModelServer(concurrency=4, seconds=0.005)
    async with model_servers(server):
        await world.serve(group(phase="STARTING"))
        asked = []
        for number in range(100):
            asked += world.asking(1, b'{"inputs": %d}' % number)
            # So that they come in this order.
            await world.until_so_many_wait(number + 1)
        await world.put(group(server))
        answers = await asyncio.gather(*asked)
    assert {answer.status for answer in answers} == {200}
    assert server.most == 4
    numbers = [request.json["inputs"] for request in server.requests]
    # Those that are under way together come over connections of their own.
    assert all(abs(number - place) < 8 for place, number in enumerate(numbers))


async def test_a_wake_is_repeated_and_demand_is_told_until_there_is_none(world: World) -> None:
    server = ModelServer()
    async with model_servers(server):
        await world.serve(group())
        [asked] = world.asking(1)
        await world.woken()
        demand = await world.waiting(1)
        assert (demand.arrivals, demand.in_flight, demand.refused) == (1, 0, 0)
        assert demand.oldest_wait_ms > 0
        assert await world.until(lambda told: told in world.told[1:] and told.HasField("wake"))
        wakes = [told for told in world.told if told.HasField("wake")]
        await world.put(group(server))
        assert (await asked).status == 200
        world.told.clear()
        last = await world.waiting(0)
        last = last if not last.in_flight else await world.waiting(0)
    assert len(wakes) <= 3
    assert not last.waiting


async def test_a_caller_who_leaves_waits_no_longer_and_is_billed_nothing(world: World) -> None:
    tracked = AiGatewayConfig(usage_tracking_config=UsageTrackingConfig(enabled=True))
    server = ModelServer()
    async with model_servers(server):
        await world.serve(group(), gateway=tracked)
        call = world.system.start_query("iris", BODY)
        await world.waiting(1)
        call.cancel()
        await world.waiting(0)
        await world.put(group(server))
        assert (await world.ask()).status == 200
        assert len(server.requests) == 1
        usage = world.system.control_plane.usage
        async with asyncio.timeout(120):
            while (
                sum(entry.HasField("outcome") for one in usage.requests for entry in one.entries)
                < 2
            ):
                await asyncio.sleep(0.05)
    outcomes = [
        entry.outcome
        for one in usage.requests
        for entry in one.entries
        if entry.HasField("outcome")
    ]
    assert sorted(outcome.status_code for outcome in outcomes) == [200, 499]
    assert not any(outcome.input_tokens or outcome.output_tokens for outcome in outcomes)


async def test_who_waits_too_long_for_a_cold_model_is_told_when_to_come_back(hasty: World) -> None:
    await hasty.serve(group(expected_start_ms=7200))
    answer = await hasty.ask()
    assert (answer.status, answer.error_code) == (503, "TEMPORARILY_UNAVAILABLE")
    assert answer.headers["retry-after"] == "8"


async def test_who_waits_too_long_for_a_busy_model_is_told_to_get_a_larger_one(
    hasty: World,
) -> None:
    server = ModelServer(concurrency=1, hangs=True)
    async with model_servers(server):
        await hasty.serve(group(server))
        asked = hasty.asking(1)
        while not server.requests:
            await asyncio.sleep(0.01)
        answer = await hasty.ask()
        await asyncio.gather(*asked)
    assert (answer.status, answer.error_code, answer.message) == (
        429,
        "REQUEST_LIMIT_EXCEEDED",
        BUSY,
    )


async def test_the_callers_own_deadline_ends_the_wait(world: World) -> None:
    await world.serve(group())
    answer = await world.ask(timeout=0.3)
    assert answer.error_code == "DEADLINE_EXCEEDED"
    await world.waiting(0)


@pytest.mark.parametrize("cold", [True, False])
async def test_no_more_wait_than_may(world: World, *, cold: bool) -> None:
    server = ModelServer(concurrency=1, go=asyncio.Event())
    async with model_servers(server):
        groups = group(max_waiting=2) if cold else group(server, max_waiting=2)
        await world.serve(groups)
        asked = world.asking(0 if cold else 1)
        while len(server.requests) < len(asked):
            await asyncio.sleep(0.01)
        asked += world.asking(2)
        await world.waiting(2)
        answer = await world.ask()
        if cold:
            assert (answer.status, answer.error_code) == (503, "TEMPORARILY_UNAVAILABLE")
            assert int(answer.headers["retry-after"]) == 10
            await world.put(group(server))
        else:
            assert (answer.status, answer.message) == (429, BUSY)
        assert server.go
        server.go.set()
        assert {answer.status for answer in await asyncio.gather(*asked)} == {200}
        refused = await world.until(lambda told: any(one.refused for one in told.demand.groups))
    assert refused.demand.groups[0].refused == 1


async def test_a_group_that_has_failed_refuses_at_once(world: World) -> None:
    await world.serve(group())
    asked = world.asking(2)
    await world.waiting(2)
    await world.put(group(phase="FAILED", reason="No module named 'x'."))
    for answer in (*await asyncio.gather(*asked), await world.ask()):
        assert (answer.status, answer.error_code) == (400, "INVALID_STATE")
        assert answer.message == "Served entity 'iris-1' cannot answer: No module named 'x'."


async def test_another_entity_answers_for_one_that_failed_where_that_is_wanted(
    world: World,
) -> None:
    server = ModelServer()
    wanted = AiGatewayConfig(fallback_config=FallbackConfig(enabled=True))
    async with model_servers(server):
        await world.serve(
            group(group_id=OTHER, phase="FAILED", reason="No."),
            group(server),
            gateway=wanted,
            split={"first": OTHER, "second": GROUP},
            shares={"first": 100, "second": 0},
        )
        answer = await world.ask()
    assert answer.headers["served-model-name"] == "second"
    assert answer.headers["x-modelplane-attempts"] == "2"
    assert answer.headers["x-modelplane-attempt-errors"] == "first=EntityFailed"


async def test_those_who_wait_for_one_group_hold_up_no_other(world: World) -> None:
    server, slow = ModelServer(), ModelServer(concurrency=1, hangs=True)
    async with model_servers(server, slow):
        await world.serve(
            group(slow, group_id=OTHER),
            group(server),
            split={"slow": OTHER, "quick": GROUP},
            shares={"slow": 0, "quick": 100},
        )
        held = world.asking(50, served="slow")
        await world.waiting(49, OTHER)
        answers = await asyncio.gather(*world.asking(50))
        assert {answer.status for answer in answers} == {200}
        for task in held:
            task.cancel()
        await asyncio.gather(*held, return_exceptions=True)


async def test_one_group_cannot_take_all_the_room_there_is(
    bridge: Bridge, control_plane: FakeControlPlane, tmp_path: Path
) -> None:
    body = b'{"inputs": "' + b"x" * 400_000 + b'"}'
    async with running_system(bridge, control_plane, tmp_path, hold_max_mib=1) as system:
        world = World(system)
        split = {"first": OTHER, "second": GROUP}
        await world.serve(group(group_id=OTHER), group(), split=split, shares={"first": 100})
        held = world.asking(1, body)
        await world.waiting(1, OTHER)
        assert (await world.ask(body)).status == 503
        held += world.asking(1, body, served="second")
        await world.waiting(1)
        for task in held:
            task.cancel()
        await asyncio.gather(*held, return_exceptions=True)


async def test_a_group_that_is_not_known_yet_is_waited_for(world: World) -> None:
    server = ModelServer()
    async with model_servers(server):
        await world.serve()
        [asked] = world.asking(1)
        await world.woken()
        await world.put(group(server))
        assert (await asked).status == 200
