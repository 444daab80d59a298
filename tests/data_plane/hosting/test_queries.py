"""Queries of hosted models through a whole worker, with stand-ins for the model's processes."""

import asyncio

import httpx

from tests.data_plane.envoy import Bridge
from tests.data_plane.hosting.model_server import ModelServer, model_servers
from tests.data_plane.hosting.world import BODY, World, group
from tests.data_plane.messages import TOKEN


async def test_the_callers_bytes_reach_the_replica_and_its_answer_comes_back(world: World) -> None:
    server = ModelServer(answer=b'{"predictions":  [0.1]}')
    async with model_servers(server):
        await world.serve(group(server), task="custom")
        answer = await world.ask(x_request_id="r-1")
    assert (answer.status, answer.messages) == (200, [b'{"predictions":  [0.1]}'])
    assert answer.headers == answer.headers | {
        "served-model-name": "iris-1",
        "x-modelplane-config-version": "1",
        "x-request-id": "r-1",
    }
    assert "x-modelplane-cold-start" not in answer.headers
    [request] = server.requests
    assert request.body == BODY
    assert request.headers == request.headers | {
        "authorization": "Bearer replica-token",
        "content-type": "application/json",
        "x-request-id": "r-1",
        "x-modelplane-task": "custom",
    }
    assert 0 < int(request.headers["x-modelplane-deadline-ms"]) <= 597_000


async def test_a_cold_group_is_woken_and_waited_for(world: World) -> None:
    server = ModelServer()
    async with model_servers(server):
        await world.serve(group())
        asked = world.asking(3)
        assert (await world.woken()).waiting >= 1
        await world.put(group(server))
        for answer in await asyncio.gather(*asked):
            assert answer.status == 200
            assert int(answer.headers["x-modelplane-cold-start"]) >= 0


async def test_a_rest_call_gets_the_same(world: World, bridge: Bridge) -> None:
    server = ModelServer()
    async with model_servers(server):
        await world.serve(group(server))
        async with httpx.AsyncClient(base_url=f"http://{bridge.target}") as client:
            client.headers["authorization"] = f"Bearer {TOKEN}"
            answer = await client.post("/serving-endpoints/iris/invocations", content=BODY)
    assert (answer.status_code, answer.content) == (200, server.answer)
    assert server.requests[0].body == BODY
