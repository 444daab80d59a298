"""Replicas that are full, die, or come and go under load."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from modelserving.v1.ai_gateway_pb2 import AiGatewayConfig, FallbackConfig
from modelserving.worker.v1 import hosting_pb2 as pb

from modelplane.adapters.providers.errors import OutOfFiles
from modelplane.adapters.providers.http.client import Http1Transport
from modelplane.adapters.providers.http.transport import HttpResponse
from modelplane.launcher.local.reach import make_certificate
from tests.data_plane.conftest import Answer
from tests.data_plane.hosting.model_server import ModelServer, model_servers
from tests.data_plane.hosting.world import BODY, GROUP, OTHER, World, group
from tests.data_plane.messages import (
    delta,
    endpoint,
    endpoint_config,
    hosted_by,
    hosted_entity,
    snapshot,
)

FALLBACK = AiGatewayConfig(fallback_config=FallbackConfig(enabled=True))
BOTH = {"one": GROUP, "two": OTHER}


def retries(world: World, reason: str) -> float:
    name = "modelplane_retries_total"
    return world.system.registry.get_sample_value(name, {"error": reason}) or 0


def statuses(answers: list[Answer]) -> Counter[int]:
    return Counter(answer.status for answer in answers)


async def test_the_load_is_spread(world: World) -> None:
    servers = [ModelServer(concurrency=8, seconds=0.02) for _ in range(3)]
    async with model_servers(*servers):
        await world.serve(group(*servers))
        assert statuses(await asyncio.gather(*world.asking(24 * 4))) == {200: 96}
    assert all(server.most <= 8 for server in servers)
    assert min(len(server.requests) for server in servers) > 20


async def test_one_elsewhere_is_believed_by_its_own_certificate_alone(
    world: World, tmp_path: Path
) -> None:
    files = [tmp_path / "one.pem", tmp_path / "other.pem"]
    one, other = [
        ModelServer(tls=(file, make_certificate(file, file.stem, None))) for file in files
    ]
    async with model_servers(one, other):
        stranger = pb.Replica()
        stranger.CopyFrom(other.replica)
        stranger.certificate = one.replica.certificate
        said = group(one)
        said.replicas.append(stranger)
        await world.serve(said)
        assert statuses(await asyncio.gather(*world.asking(20))) == {200: 20}
        assert len(one.requests) == 20
        assert other.requests == []
        said.replicas.remove(said.replicas[0])
        # What is no certificate is none that a server could have.
        said.replicas[0].certificate = b"none"
        await world.put(said)
        [asked] = world.asking(1)
        await asyncio.sleep(0.1)
        assert not asked.done()
        said.replicas[0].certificate = other.replica.certificate
        said.replicas[0].token = other.token = "another"
        await world.put(said)
        assert (await asked).status == 200
        assert len(other.requests) == 1


async def test_a_full_replica_is_left_for_another(world: World) -> None:
    # Others keep it full, whom this worker knows nothing of.
    full, free = ModelServer(concurrency=0), ModelServer()
    async with model_servers(full, free):
        await world.serve(group(full, free))
        assert statuses(await asyncio.gather(*world.asking(20))) == {200: 20}
    assert full.refused
    assert retries(world, "ReplicaFull") == full.refused
    assert full.requests == []


async def test_who_finds_all_replicas_full_waits_for_one(world: World) -> None:
    server = ModelServer(concurrency=0)
    async with model_servers(server):
        await world.serve(group(server))
        [asked] = world.asking(1)
        while server.refused < 3:
            await asyncio.sleep(0.01)
        server.open_slots(4)
        assert (await asked).status == 200
    assert len(server.requests) == 1


async def test_who_finds_no_file_left_waits_until_there_is_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, refusals = Http1Transport.send, iter(range(3))

    async def refusing(self: Http1Transport, *request: Any) -> HttpResponse:
        if next(refusals, None) is not None:
            raise OutOfFiles("iris", "the gateway has too many connections")
        return await send(self, *request)

    monkeypatch.setattr(Http1Transport, "send", refusing)
    async with model_servers(server := ModelServer()):
        await world.serve(group(server))
        assert (await world.ask()).status == 200
    assert len(server.requests) == 1
    assert retries(world, "ReplicaUnreachable") == 0


async def test_what_a_dying_replica_has_taken_fails_and_nothing_else(world: World) -> None:
    dying, other = ModelServer(concurrency=2, hangs=True), ModelServer(concurrency=2)
    async with model_servers(dying, other):
        await world.serve(group(dying, other))
        asked = world.asking(20)
        while len(dying.requests) < 2:
            await asyncio.sleep(0.01)
        taken = len(dying.requests)
        await dying.die()
        answers = await asyncio.gather(*asked)
        assert statuses(answers) == {200: 20 - taken, 502: taken}
        failed = next(answer for answer in answers if answer.status == 502)
        assert failed.error_code == "BAD_GATEWAY"
        assert failed.headers["x-modelplane-attempt-errors"] == "iris-1=ReplicaLost"
        # Each query was put to one replica, once.
        assert len(dying.requests) + len(other.requests) == 20
        assert statuses(await asyncio.gather(*world.asking(20))) == {200: 20}


async def test_a_request_that_ends_processes_is_refused_after_the_second(world: World) -> None:
    servers = [ModelServer(breaks=True) for _ in range(3)]
    poison = {"inputs": [13]}
    async with model_servers(*servers):
        # Several that are alike, in one process, are one end of it. One that the second has not
        # taken by its end is refused like those that come later.
        for server, first, others in zip(
            servers, (502, 502, 400), ({502}, {502, 400}, {400}), strict=True
        ):
            await world.serve(group(server))
            answers = await asyncio.gather(*world.asking(2, poison))
            found = set(statuses(answers))
            assert first in found
            assert found <= others
        assert "ended while it was answering this very request" in answers[0].message
        assert servers[2].requests == []
        # Another request is put to the model, and what was answered once is no suspect any more.
        servers[2].breaks = False
        assert (await world.ask()).status == 200
    assert len(servers[2].requests) == 1


async def test_a_kept_connection_that_is_closed_is_not_tried_again(world: World) -> None:
    server = ModelServer()
    async with model_servers(server):
        await world.serve(group(server))
        assert (await world.ask()).status == 200
        server.breaks = True
        assert (await world.ask()).status == 502
    assert len(server.requests) == 2


async def test_a_replica_that_is_gone_is_out_until_there_is_news(world: World) -> None:
    gone, other = ModelServer(), ModelServer()
    async with model_servers(gone, other):
        await world.serve(group(gone, other))
        await gone.die()
        assert statuses(await asyncio.gather(*world.asking(20))) == {200: 20}
        # It was tried by those who were under way together, and by nobody after them.
        tried = retries(world, "ReplicaUnreachable")
        assert statuses(await asyncio.gather(*world.asking(20))) == {200: 20}
        assert retries(world, "ReplicaUnreachable") == tried
        await gone.start()
        await world.put(group(gone, other))
        await asyncio.gather(*world.asking(40))
    assert gone.requests


async def test_a_group_whose_replicas_are_all_gone_is_woken(world: World) -> None:
    gone, new = ModelServer(), ModelServer()
    async with model_servers(gone, new):
        await world.serve(group(gone))
        await gone.die()
        [asked] = world.asking(1)
        await world.woken()
        # The loop's clock counts milliseconds.
        await asyncio.sleep(0.02)
        await world.put(group(new))
        answer = await asked
    assert answer.status == 200
    assert int(answer.headers["x-modelplane-cold-start"]) > 0


async def test_a_replica_is_found_again_without_news(world: World) -> None:
    server = ModelServer()
    async with model_servers(server):
        await world.serve(group(server))
        await server.die()
        [asked] = world.asking(1)
        await world.woken()
        await server.start()
        assert (await asked).status == 200


async def test_another_process_at_the_address_gets_nothing(world: World) -> None:
    stranger, other = ModelServer(), ModelServer()
    async with model_servers(stranger, other):
        await world.serve(group(stranger, other))
        stranger.token = "another"
        assert statuses(await asyncio.gather(*world.asking(20))) == {200: 20}
    assert stranger.requests == []


async def under_load(*servers: ModelServer) -> None:
    """Wait until each has had some of the load."""
    while min(len(server.requests) for server in servers) < 10:
        await asyncio.sleep(0.01)


async def test_replicas_may_be_replaced_under_load(world: World) -> None:
    servers = [ModelServer(seconds=0.002) for _ in range(8)]
    answers: list[Answer] = []
    stopped = False

    async def load() -> None:
        while not stopped:
            answers.append(await world.ask())

    async with model_servers(*servers):
        await world.serve(group(*servers[:2]))
        callers = [asyncio.create_task(load()) for _ in range(12)]
        for first in (2, 4, 6):
            await under_load(*servers[first - 2 : first])
            await world.put(group(*servers[first : first + 2]))
            for old in servers[first - 2 : first]:
                await old.drain()
        await under_load(*servers[-2:])
        stopped = True
        await asyncio.gather(*callers)
    assert set(statuses(answers)) == {200}


async def test_who_waits_for_a_group_that_is_gone_goes_to_what_serves_now(world: World) -> None:
    server = ModelServer()
    async with model_servers(server):
        await world.serve(group())
        asked = world.asking(3)
        await world.waiting(3)
        config = endpoint_config(hosted_entity("iris-2"), version=2)
        hosted = [hosted_by(OTHER, "iris-2", version=2)]
        new = endpoint("iris", config, hosted=hosted)
        await world.apply(
            delta(9, new, groups=[group(server, group_id=OTHER)], removed_group_ids=[GROUP])
        )
        for answer in await asyncio.gather(*asked):
            assert answer.status == 200
            assert answer.headers["served-model-name"] == "iris-2"
            assert answer.headers["x-modelplane-config-version"] == "2"


async def test_a_full_snapshot_forgets_groups_that_it_lacks(world: World) -> None:
    await world.serve(group())
    [asked] = world.asking(1)
    await world.waiting(1)
    await world.apply(snapshot(5))
    assert (await asked).status == 404


async def test_the_worker_still_answers_while_the_control_plane_is_away(world: World) -> None:
    server = ModelServer()
    async with model_servers(server):
        await world.serve(group(server))
        world.system.control_plane.push(None)
        assert statuses(await asyncio.gather(*world.asking(20))) == {200: 20}
        # A new stream is told what is asked.
        [asked] = world.asking(1, BODY)
        assert (await asked).status == 200
        await world.until(lambda told: told.HasField("hello"))
        await world.until(lambda told: bool(told.demand.groups))


async def test_a_request_that_ends_processes_falls_back_once(world: World) -> None:
    """Its second process is that of the entity it fell back to: no entity gets it again."""
    first, second = ([ModelServer(breaks=True) for _ in range(2)] for _ in range(2))
    poison = {"inputs": [13]}
    shares = {"one": 100, "two": 0}
    async with model_servers(*first, *second):
        for one, two, status in zip(first, second, (502, 400), strict=True):
            groups = (group(one), group(two, group_id=OTHER))
            await world.serve(*groups, split=BOTH, shares=shares, gateway=FALLBACK)
            assert (await world.ask(poison)).status == status
    assert [len(one.requests) for one in (*first, *second)] == [1, 0, 1, 0]


async def test_what_one_entity_cannot_bear_another_one_goes_on_answering(world: World) -> None:
    broken, usual = [ModelServer(breaks=True) for _ in range(3)], ModelServer()
    shares = {"one": 100, "two": 0}
    async with model_servers(*broken, usual):
        for server in broken:
            groups = (group(server), group(usual, group_id=OTHER))
            await world.serve(*groups, split=BOTH, shares=shares, gateway=FALLBACK)
            answer = await world.ask()
            assert (answer.status, answer.headers["served-model-name"]) == (200, "two")
    # The first two were ended by it, the third was spared.
    assert [len(server.requests) for server in broken] == [1, 1, 0]
    assert len(usual.requests) == 3
