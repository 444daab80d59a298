"""What the fault tests do to a deployment and ask of it, beside sending traffic."""

import asyncio
import itertools
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from bench.system import ADMIN_TOKEN, Part, RestAnswer, System, chat_config
from modelplane.adapters.shared.rpc.metadata import AUTHORIZATION, CONFIG_VERSION
from modelplane.deploy.envoy.options import Address
from modelplane.deploy.local.http_client import HttpClient
from tests.deploy.envoy.envoys import healthy_workers
from tests.faults.traffic import MODEL, Traffic

PATH = "/api/2.0/serving-endpoints"
_CHAT = {"messages": [{"role": "user", "content": "Hi"}]}
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
    """Tell whether Envoy takes requests and sends them to every worker."""
    admin = HttpClient(Address.parse(_state(system)["envoy"]["admin"]))
    if await healthy_workers(admin) != len(system.workers):
        return False
    # One that has just started knows its workers before it listens.
    public = HttpClient(Address.parse(system.url.removeprefix("http://")))
    return (await public.call("GET", "/health")).ok


def worker_address(system: System, name: str) -> Address:
    """Return where a worker listens now."""
    [found] = [each for each in _state(system)["workers"] if each["name"] == name]
    return Address.parse(found["listen"])


async def is_serving(worker: Address) -> bool:
    """Tell whether a worker itself says so; Envoy may not have noticed yet that it was killed."""
    return (await HttpClient(worker).call("GET", "/health")).ok


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
            except OSError:
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


async def query_worker(address: Address, endpoint: str) -> int:
    """Query one worker directly, past Envoy; return the version that served, 0 for none."""
    transport = httpx.AsyncHTTPTransport(uds=address.path or None)
    url = f"http://{'worker' if address.path else address}/serving-endpoints/{endpoint}/invocations"
    headers = {AUTHORIZATION: f"Bearer {ADMIN_TOKEN}"}
    async with httpx.AsyncClient(transport=transport, headers=headers, timeout=10) as client:
        try:
            answer = await client.post(url, json=_CHAT)
        except httpx.TransportError:
            return 0
    return int(answer.headers.get(CONFIG_VERSION, 0))


def _state(system: System) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((system.directory / "up.json").read_text())
    return state
