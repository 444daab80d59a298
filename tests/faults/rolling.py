"""Parts of two releases beside each other, and what calls them meanwhile.

`test_upgrade` rolls them.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import aiohttp

from bench.system import ADMIN_TOKEN, chat_config
from modelplane.deploy.envoy.options import Address
from modelplane.deploy.local.ports import free_port
from tests.faults.deployment import PATH

SECONDS = 60.0
_PAUSE_SECONDS = 0.02


@dataclass
class Roll:
    """Parts of both releases, which share a database and an Envoy.

    Attributes:
        directory: Where they keep what they write.
        database_url: Their database.
        settings: What all of them are told beside.
        processes: Those that run, by name.
    """

    directory: Path
    database_url: str
    settings: Mapping[str, str] = field(default_factory=dict)
    processes: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Choose ports of two control planes, and the sockets of three workers."""
        random = Random()
        self.api, self.watch = ([free_port(random) for _ in range(2)] for _ in range(2))
        self.sockets = {name: self.directory / f"{name}.sock" for name in ("a", "b", "c")}

    @property
    def control_planes(self) -> tuple[Address, ...]:
        """Where Envoy finds control planes."""
        return tuple(Address("127.0.0.1", port) for port in self.api)

    @property
    def workers(self) -> list[Address]:
        """Where Envoy finds workers."""
        return [Address.of_path(str(path)) for path in self.sockets.values()]

    async def control_plane(self, number: int, source: Path) -> None:
        """Start a control plane from a checkout."""
        settings = {
            "MODELPLANE_CONTROL_PLANE_LISTEN": f"127.0.0.1:{self.api[number]}",
            "MODELPLANE_SNAPSHOT_LISTEN": f"127.0.0.1:{self.watch[number]}",
            "MODELPLANE_CONTROL_PLANE_METRICS_LISTEN": "127.0.0.1:0",
        }
        await self.start(f"control-plane-{number}", "control-plane", source, settings)

    async def worker(self, name: str, source: Path) -> None:
        """Start a worker from a checkout."""
        settings = {
            "MODELPLANE_CONTROL_PLANE": ",".join(f"127.0.0.1:{port}" for port in self.watch),
            "MODELPLANE_WORKER_LISTEN": f"unix:{self.sockets[name]}",
            "MODELPLANE_WORKER_METRICS_LISTEN": "127.0.0.1:0",
            "MODELPLANE_JOURNAL_DIR": str(self.directory / "journal"),
        }
        await self.start(f"worker-{name}", "worker", source, settings)

    async def launcher(self, source: Path) -> None:
        """Start the launcher from a checkout."""
        settings = {
            "MODELPLANE_CONTROL_PLANE": ",".join(f"127.0.0.1:{port}" for port in self.watch),
            "MODELPLANE_LAUNCHER_DIR": str(self.directory / "launcher"),
        }
        await self.start("launcher", "launcher", source, settings)

    async def start(
        self, name: str, command: str, source: Path, settings: Mapping[str, str]
    ) -> None:
        """Start a part from a checkout."""
        paths = os.pathsep.join((str(source / "src"), str(source / "protos" / "gen")))
        variables = {
            "PATH": os.defpath,
            "PYTHONPATH": paths,
            "MODELPLANE_DATA_DIR": str(self.directory),
            "MODELPLANE_DATABASE_URL": self.database_url,
            "MODELPLANE_ADMIN_TOKEN": ADMIN_TOKEN,
            "MODELPLANE_ALLOWED_UPSTREAMS": "127.0.0.1",
            "MODELPLANE_NOTICE_SECONDS": "3",
            **self.settings,
            **settings,
        }
        log = (self.directory / f"{name}.log").open("wb")
        with log:
            self.processes[name] = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "modelplane", command, env=variables, stderr=log
            )

    async def stop(self, name: str) -> None:
        """End a part as a cluster does, and see that it ends well."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), SECONDS) == 0, self.log(name)

    def log(self, name: str) -> str:
        """Return what a part has said."""
        return (self.directory / f"{name}.log").read_text()[-2000:]

    async def kill(self, name: str) -> None:
        """End a part as a crash does."""
        process = self.processes.pop(name)
        process.kill()
        await process.wait()

    async def finished(self, name: str) -> None:
        """Wait for a part that ends by itself."""
        assert await asyncio.wait_for(self.processes.pop(name).wait(), SECONDS) == 0, self.log(name)

    async def end(self) -> None:
        """End what still runs."""
        for process in self.processes.values():
            process.kill()
            await process.wait()


@dataclass
class Load:
    """Queries and changes, one after another for as long as it goes on.

    Attributes:
        client: Calls the public port.
        queries: How many were answered.
        changes: How many were made.
        failures: What failed.
    """

    client: aiohttp.ClientSession
    provider_url: str
    queries: int = 0
    changes: int = 0
    failures: list[str] = field(default_factory=list)

    async def query(self) -> None:
        """Ask, whole and as a stream in turn."""
        while True:
            body = {"messages": [{"role": "user", "content": "Hi"}]}
            streamed = bool(self.queries % 2)
            path = "/serving-endpoints/chat/invocations"
            async with self.client.post(path, json={**body, "stream": streamed}) as answer:
                text = await answer.text()
                if answer.status != 200 or (streamed and not text.rstrip().endswith("[DONE]")):
                    self.failures.append(f"query: {answer.status} {text[:200]}")
            self.queries += 1
            await asyncio.sleep(_PAUSE_SECONDS)

    async def create(self) -> None:
        """Make the endpoint."""
        config = chat_config(self.provider_url, "model")
        async with self.client.post(PATH, json={"name": "chat", "config": config}) as made:
            assert made.status == 200, await made.text()

    async def change(self) -> None:
        """Change the endpoint, and wait until all serve it."""
        config = chat_config(self.provider_url, f"model-{self.changes}")
        async with self.client.put(f"{PATH}/chat/config", json=config) as answer:
            if answer.status != 200:
                self.failures.append(f"change: {answer.status} {await answer.text()}")
        async with asyncio.timeout(SECONDS):
            while not await self._is_done():
                await asyncio.sleep(0.1)
        self.changes += 1

    async def _is_done(self) -> bool:
        async with self.client.get(f"{PATH}/chat") as answer:
            found = await answer.json()
            return answer.status == 200 and found["state"]["config_update"] == "NOT_UPDATING"


@asynccontextmanager
async def going_on(load: Load) -> AsyncIterator[None]:
    """Ask, four at a time, until the end."""
    asking = [asyncio.create_task(load.query()) for _ in range(4)]
    try:
        yield
    finally:
        for task in asking:
            task.cancel()
        ended = await asyncio.gather(*asking, return_exceptions=True)
        # Those that no longer asked had found no answer at all.
        load.failures += [repr(one) for one in ended if not isinstance(one, asyncio.CancelledError)]
