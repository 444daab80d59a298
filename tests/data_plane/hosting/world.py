"""A worker with hosted models: what is told of their groups, and what the worker tells."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from modelserving.v1.ai_gateway_pb2 import AiGatewayConfig
from modelserving.worker.v1 import hosting_pb2 as pb
from modelserving.worker.v1 import snapshot_service_pb2 as watch_pb

from tests.data_plane.conftest import Answer, System
from tests.data_plane.hosting.model_server import ModelServer
from tests.data_plane.messages import (
    delta,
    endpoint,
    endpoint_config,
    hosted_by,
    hosted_entity,
    snapshot,
)

GROUP = "a" * 32
OTHER = "b" * 32
BODY = b'{"inputs":  [[1, 2.0]] }'
Query = Callable[..., Awaitable[Answer]]


def group(
    *servers: ModelServer, group_id: str = GROUP, phase: str = "", **rest: Any
) -> pb.ReplicaGroup:
    name = f"GROUP_PHASE_{phase or ('READY' if servers else 'IDLE')}"
    replicas = [server.replica for server in servers]
    number = pb.GroupPhase.Value(name)
    return pb.ReplicaGroup(id=group_id, phase=number, replicas=replicas, **rest)


class World:
    """A system with one endpoint, `iris`, and the messages that the worker has sent.

    Attributes:
        system: The system.
        told: What the worker has sent beside acknowledgements, as far as it was read.
    """

    def __init__(self, system: System) -> None:
        self.system = system
        self.told: list[watch_pb.WatchConfigRequest] = []
        self._revision = 1

    async def serve(
        self,
        *groups: pb.ReplicaGroup,
        task: str = "",
        streams: bool = True,
        throughput: int = 0,
        gateway: AiGatewayConfig | None = None,
        split: dict[str, str] | None = None,
        shares: dict[str, int] | None = None,
    ) -> None:
        """Serve the endpoint; `split` has the group of each entity."""
        entities = split or {"iris-1": GROUP}
        config = endpoint_config(*(hosted_entity(name) for name in entities), split=shares)
        hosted = [
            hosted_by(group_id, name, task=task, streams=streams, throughput=throughput)
            for name, group_id in entities.items()
        ]
        resource = endpoint("iris", config, hosted=hosted, ai_gateway=gateway)
        await self.apply(snapshot(1, resource, groups=groups))

    async def put(self, *groups: pb.ReplicaGroup, **fields: Any) -> None:
        """Tell the worker of groups."""
        self._revision += 1
        await self.apply(delta(self._revision, groups=groups, **fields))

    async def apply(self, message: watch_pb.WatchConfigResponse) -> None:
        self.system.control_plane.push(message)
        while (told := await self.system.control_plane.next()).WhichOneof("message") != "ack":
            self.told.append(told)

    def ask(self, body: object = BODY, **rest: Any) -> Awaitable[Answer]:
        return self.system.query("iris", body, **rest)

    def asking(self, count: int, body: object = BODY, **rest: Any) -> list[asyncio.Task[Answer]]:
        async def one() -> Answer:
            return await self.ask(body, **rest)

        return [asyncio.create_task(one()) for _ in range(count)]

    async def until(
        self, found: Callable[[watch_pb.WatchConfigRequest], bool]
    ) -> watch_pb.WatchConfigRequest:
        """Return the first message of the worker that is looked for, read or to come."""
        while not (matches := [told for told in self.told if found(told)]):
            self.told.append(await self.system.control_plane.next())
        return matches[0]

    async def woken(self, group_id: str = GROUP) -> pb.Wake:
        return (await self.until(lambda told: told.wake.group_id == group_id)).wake

    async def until_so_many_wait(self, count: int) -> None:
        """Return once so many requests wait, of all groups, before the worker tells of them."""
        waiting = self.system.registry.get_sample_value
        while waiting("modelplane_hosted_waiting") != count:
            await asyncio.sleep(0.001)

    async def waiting(self, count: int, group_id: str = GROUP) -> pb.GroupDemand:
        """Return the demand of a group once so many wait."""

        def demand(told: watch_pb.WatchConfigRequest) -> list[pb.GroupDemand]:
            return [
                one
                for one in told.demand.groups
                if one.group_id == group_id and one.waiting == count
            ]

        return demand(await self.until(lambda told: bool(demand(told))))[0]
