"""What a worker tells of the tokens of a model whose throughput is provisioned."""

import json

from modelplane.adapters.providers.types import Task
from tests.data_plane.hosting.model_server import ModelServer, model_servers
from tests.data_plane.hosting.test_queries import CHAT, HELLO
from tests.data_plane.hosting.world import World, group

USED = 7


async def test_the_tokens_of_answers_are_told(world: World) -> None:
    server = ModelServer(answer=json.dumps(CHAT).encode())
    async with model_servers(server):
        await world.serve(group(server), task=Task.CHAT, throughput=1_000)
        # Nobody leases quota here, so that nothing is counted, and demand is told all the same.
        assert (await world.ask(json.dumps(HELLO).encode())).status == 200
        told = await world.until(lambda told: any(one.arrivals for one in told.demand.groups))
    [demand] = told.demand.groups
    assert 0 < demand.tokens_per_second <= USED


async def test_other_models_have_none(world: World) -> None:
    server = ModelServer(answer=json.dumps(CHAT).encode())
    async with model_servers(server):
        await world.serve(group(server), task=Task.CHAT)
        assert (await world.ask(json.dumps(HELLO).encode())).status == 200
        told = await world.until(lambda told: any(one.arrivals for one in told.demand.groups))
    assert [one.tokens_per_second for one in told.demand.groups] == [0]
