"""A worker that stops while queries wait, and the one that comes after it."""

import asyncio
from pathlib import Path
from random import Random

import grpc
from modelserving.v1 import inference_service_pb2 as pb
from modelserving.v1 import inference_service_pb2_grpc as pb_grpc
from prometheus_client import CollectorRegistry

from modelplane.data_plane.process import Clocks
from modelplane.data_plane.server import running_worker
from modelplane.data_plane.settings import Settings
from tests.data_plane.conftest import WALL_MS, collect, metadata, payload, running_system
from tests.data_plane.envoy import Bridge
from tests.data_plane.fakes import FakeControlPlane, MovableClock
from tests.data_plane.hosting.model_server import ModelServer, model_servers
from tests.data_plane.hosting.world import BODY, World, group
from tests.data_plane.messages import delta, endpoint, endpoint_config, hosted_by, hosted_entity
from tests.data_plane.messages import snapshot as full

GROUP = "a" * 32


async def test_a_worker_that_stops_still_answers_those_who_wait(
    bridge: Bridge, control_plane: FakeControlPlane, tmp_path: Path
) -> None:
    settings = Settings(
        control_plane=control_plane.target,
        worker_id="worker-1",
        worker_listen=bridge.listen,
        journal_dir=str(tmp_path / "journal"),
        notice_seconds=0.0,
        drain_seconds=5.0,
    )
    clocks = Clocks(MovableClock(), asyncio.sleep, Random(1))
    resource = endpoint("iris", endpoint_config(hosted_entity()), hosted=[hosted_by(GROUP)])
    server = ModelServer()
    async with model_servers(server), grpc.aio.insecure_channel(bridge.target) as channel:
        async with running_worker(settings, CollectorRegistry(), clocks, lambda: WALL_MS) as worker:
            worker.listener.take_over()
            control_plane.push(full(1, resource, groups=(group(),)))
            while not (await control_plane.next()).HasField("ack"):
                pass
            request = pb.QueryRequest(name="iris", payload=payload(BODY))
            call = pb_grpc.InferenceServiceStub(channel).Query(
                request, metadata=metadata(), timeout=240
            )
            while not (await control_plane.next()).HasField("wake"):
                pass
            # It is told of the replica only once it drains.
            asyncio.get_running_loop().call_later(
                0.2, control_plane.push, delta(2, groups=[group(server)])
            )
        answer = await collect(call)
    assert (answer.status, answer.messages) == (200, [server.answer])


async def test_the_next_worker_knows_the_groups(
    bridge: Bridge, control_plane: FakeControlPlane, tmp_path: Path
) -> None:
    server = ModelServer()
    async with model_servers(server):
        for directory in ("first", "second"):
            # A stream's queue of messages is the server's; each worker gets its own snapshot.
            async with running_system(bridge, control_plane, tmp_path / directory) as system:
                world = World(system)
                await world.serve(group(server))
                assert (await world.ask()).status == 200
    assert len(server.requests) == 2
