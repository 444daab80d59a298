"""PostgreSQL restarts under load, and two control planes share one PostgreSQL."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc
from google.protobuf.json_format import ParseDict
from modelserving.v1.endpoint_pb2 import EndpointConfigInput
from modelserving.v1.endpoint_service_pb2 import (
    CreateServingEndpointRequest,
    ListServingEndpointsRequest,
)
from modelserving.v1.endpoint_service_pb2_grpc import EndpointServiceStub

from bench.children import child, free_address, python, wait_until_serving
from bench.system import ADMIN_TOKEN, chat_config, running_system
from modelplane.adapters.shared.rpc.metadata import AUTHORIZATION, as_mapping
from modelplane.deploy.envoy.options import Address
from tests.faults.deployment import (
    PATH,
    constant_creation,
    create,
    is_serving,
    query_worker,
    until,
    update_and_wait,
)
from tests.faults.traffic import MODEL, constant_traffic
from tests.postgres import PostgresServer

_ADMIN = ((AUTHORIZATION, f"Bearer {ADMIN_TOKEN}"),)


async def test_postgresql_restarts_under_load(
    postgres_server: PostgresServer, provider_url: str, tmp_path: Path
) -> None:
    settings = {"MODELPLANE_DATABASE_URL": postgres_server.url()}
    options = ("--no-hosting", "--workers", "1")
    async with running_system(tmp_path, *options, settings=settings) as system:
        assert (await create(system, provider_url, "endpoint")).status == 200
        async with constant_traffic(system, "endpoint", rate=40) as traffic:
            await update_and_wait(system, provider_url, traffic, 2)
            async with constant_creation(system, provider_url) as creation:
                await creation.wait_for(5)
                postgres_server.stop(kill=True)

                refused = await create(system, provider_url, "refused")
                assert refused.status == 503
                assert refused.body["error_code"] == "TEMPORARILY_UNAVAILABLE"
                assert "database" in refused.body["message"]
                assert (await system.call("GET", f"{PATH}/endpoint")).status == 503
                await traffic.wait_for(40)

                postgres_server.start()
                await creation.wait_for(5)
            await update_and_wait(system, provider_url, traffic, 3)
            await traffic.wait_for(20)
        assert traffic.failures() == []
        assert traffic.stale() == []
        listed = {item["name"] for item in (await system.call("GET", PATH)).body["endpoints"]}
        assert {"endpoint", *creation.committed} <= listed
        assert "refused" not in listed


@dataclass(frozen=True)
class _Replica:
    api: str
    snapshots: str


async def test_two_control_planes_share_one_database(
    postgres_url: str, provider_url: str, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        first = await _start_control_plane(stack, postgres_url, tmp_path)
        second = await _start_control_plane(stack, postgres_url, tmp_path)
        worker = await _start_worker(stack, second, tmp_path)
        config = ParseDict(chat_config(provider_url, f"{MODEL}1"), EndpointConfigInput())
        async with grpc.aio.insecure_channel(first.api) as channel:
            created = await EndpointServiceStub(channel).CreateServingEndpoint(
                CreateServingEndpointRequest(name="shared", config=config), metadata=_ADMIN
            )
        assert created.state.ready == "READY", created
        assert created.state.config_update == "NOT_UPDATING", created
        assert await query_worker(worker, "shared") == 1
        async with grpc.aio.insecure_channel(second.api) as channel:
            listed = await EndpointServiceStub(channel).ListServingEndpoints(
                ListServingEndpointsRequest(), metadata=_ADMIN
            )
        assert [item.name for item in listed.endpoints] == ["shared"]


async def test_a_database_that_says_nothing_ends_no_control_plane(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        replica = await _start_control_plane(stack, postgres_server.url(), tmp_path)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(replica.api))
        stub = EndpointServiceStub(channel)

        async def answer() -> tuple[grpc.StatusCode, bool]:
            try:
                await stub.ListServingEndpoints(ListServingEndpointsRequest(), metadata=_ADMIN)
            except grpc.aio.AioRpcError as error:
                trailing = error.trailing_metadata()
                return error.code(), "retry-after" in as_mapping(trailing)
            return grpc.StatusCode.OK, False

        with postgres_server.frozen():
            answers = await asyncio.gather(*(answer() for _ in range(40)))
        assert set(answers) == {(grpc.StatusCode.UNAVAILABLE, True)}
        # The same process goes on where it was.
        assert await answer() == (grpc.StatusCode.OK, False)


async def _start_control_plane(stack: AsyncExitStack, url: str, directory: Path) -> _Replica:
    replica = _Replica(free_address(), free_address())
    settings = {
        "MODELPLANE_DATA_DIR": str(directory),
        "MODELPLANE_DATABASE_URL": url,
        "MODELPLANE_ADMIN_TOKEN": ADMIN_TOKEN,
        "MODELPLANE_ALLOWED_UPSTREAMS": "127.0.0.1",
        "MODELPLANE_CONTROL_PLANE_LISTEN": replica.api,
        "MODELPLANE_SNAPSHOT_LISTEN": replica.snapshots,
        "MODELPLANE_CONTROL_PLANE_METRICS_LISTEN": free_address(),
        "MODELPLANE_DRAIN_SECONDS": "1",
    }
    command = python("modelplane.control_plane")
    started = await stack.enter_async_context(
        child(*command, settings=settings, directory=directory)
    )
    await wait_until_serving(replica.api, started)
    return replica


async def _start_worker(stack: AsyncExitStack, replica: _Replica, directory: Path) -> Address:
    address = Address.parse(free_address())
    settings = {
        "MODELPLANE_CONTROL_PLANE": replica.snapshots,
        "MODELPLANE_ALLOWED_UPSTREAMS": "127.0.0.1",
        "MODELPLANE_WORKER_LISTEN": str(address),
        "MODELPLANE_WORKER_METRICS_LISTEN": free_address(),
        "MODELPLANE_DRAIN_SECONDS": "1",
    }
    command = python("modelplane.data_plane")
    await stack.enter_async_context(child(*command, settings=settings, directory=directory))
    await until(lambda: is_serving(address))
    return address
