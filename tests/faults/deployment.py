"""What the fault tests do to a deployment and ask of it, beside sending traffic."""

import asyncio
import itertools
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
from google.api.httpbody_pb2 import HttpBody
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from modelserving.v1.inference_service_pb2 import QueryRequest
from modelserving.v1.inference_service_pb2_grpc import InferenceServiceStub

from bench.system import ADMIN_TOKEN, Part, RestAnswer, System, chat_config
from modelplane.adapters.rpc.metadata import AUTHORIZATION, CONFIG_VERSION, as_mapping
from tests.faults.traffic import MODEL, Traffic

PATH = "/api/2.0/serving-endpoints"
_WAIT_SECONDS = 40.0


async def create(system: System, provider_url: str, name: str) -> RestAnswer:
    """Create a chat endpoint at version 1."""
    config = chat_config(provider_url, f"{MODEL}1")
    return await system.call("POST", PATH, {"name": name, "config": config})


async def update(system: System, provider_url: str, name: str, version: int) -> RestAnswer:
    """Update an endpoint, which should make `version` of its configuration."""
    config = chat_config(provider_url, f"{MODEL}{version}")
    return await system.call("PUT", f"{PATH}/{name}/config", config)


async def update_and_wait(
    system: System, provider_url: str, traffic: Traffic, version: int
) -> None:
    """Update the endpoint under traffic and wait until `version` is reported done."""
    answer = await update(system, provider_url, traffic.endpoint, version)
    assert answer.status == 200, answer
    if not is_done(answer, version):
        await until(lambda: done(system, traffic.endpoint, version))
    traffic.floor = version


async def done(system: System, name: str, version: int) -> bool:
    """Tell whether the update to `version` is reported done."""
    return is_done(await system.call("GET", f"{PATH}/{name}"), version)


async def all_healthy(system: System) -> bool:
    """Tell whether Envoy sends requests to every worker."""
    return await system.healthy_workers() == len(system.workers)


async def is_serving(worker: Part) -> bool:
    """Tell whether a worker itself says so; Envoy may not have noticed yet that it was killed."""
    async with grpc.aio.insecure_channel(worker.grpc) as channel:
        answer = await HealthStub(channel).Check(HealthCheckRequest(), timeout=5)
    return bool(answer.status == HealthCheckResponse.SERVING)


def is_done(answer: RestAnswer, version: int) -> bool:
    """Tell whether an endpoint, as answered, serves `version` and is not updating."""
    body = answer.body
    return (
        answer.status == 200
        and body["state"]["config_update"] == "NOT_UPDATING"
        and body["config"]["config_version"] == version
    )


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Return once `condition` holds; a deployment that does not answer yet does not count."""
    async with asyncio.timeout(_WAIT_SECONDS):
        while True:
            try:
                if await condition():
                    return
            except (OSError, grpc.aio.AioRpcError):
                pass
            await asyncio.sleep(0.05)


@dataclass
class Creation:
    """Endpoints created one after another; each refusal must be a clear 503."""

    system: System
    provider_url: str
    # Names of the endpoints whose creation was answered with 200.
    committed: list[str] = field(default_factory=list)

    async def wait_for(self, count: int) -> None:
        """Return once `count` more endpoints are created."""
        goal = len(self.committed) + count

        async def reached() -> bool:
            return len(self.committed) >= goal

        await until(reached)

    async def run(self) -> None:
        """Create until cancelled."""
        for number in itertools.count():
            name = f"created-{number}"
            try:
                answer = await create(self.system, self.provider_url, name)
            except OSError:
                # The call was lost: whether the endpoint was committed is unknown.
                continue
            if answer.status == 200:
                self.committed.append(name)
            else:
                assert answer.status == 503, answer
                assert answer.body["error_code"] == "TEMPORARILY_UNAVAILABLE", answer
                await asyncio.sleep(0.1)


@asynccontextmanager
async def constant_creation(system: System, provider_url: str) -> AsyncIterator[Creation]:
    """Create endpoints until the context is left."""
    creation = Creation(system, provider_url)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(creation.run())
        yield creation
        running.cancel()


def kill(part: Part) -> None:
    """End a process at once, as a crash does."""
    send(part, signal.SIGKILL)


def send(part: Part, number: signal.Signals) -> None:
    """Send a signal to a process, which must be there."""
    assert part.pid is not None, part
    os.kill(part.pid, number)


async def query_worker(address: str, endpoint: str) -> int:
    """Query one worker directly, past Envoy; return the version that served."""
    async with grpc.aio.insecure_channel(address) as channel:
        request = QueryRequest(
            name=endpoint,
            payload=HttpBody(
                content_type="application/json",
                data=b'{"messages": [{"role": "user", "content": "Hi"}]}',
            ),
        )
        call = InferenceServiceStub(channel).Query(
            request, metadata=((AUTHORIZATION, f"Bearer {ADMIN_TOKEN}"),), timeout=10
        )
        headers = as_mapping(await call.initial_metadata())
        async for _ in call:
            pass
        return int(headers.get(CONFIG_VERSION, 0))
