"""Where the attacks happen: one running deployment, its tenants, and what their processes hold.

`conftest` builds it, `honest` calls it beside each attack, `wire` attacks it.
"""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.http_client import HttpAnswer, HttpConnection, build_request
from bench.system import System, chat_config

ENDPOINTS = "/api/2.0/serving-endpoints"
CHAT = {"messages": [{"role": "user", "content": "Hi"}]}
_WAIT_SECONDS = 240.0
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
MIB = 1024 * 1024


@dataclass(frozen=True)
class Tenant:
    """A user without rights but on what they made, and the token of one."""

    name: str
    token: str
    stage: "Stage"

    async def call(
        self, method: str, path: str, body: object = None, *, seconds: float = _WAIT_SECONDS
    ) -> HttpAnswer:
        """Send one request on a connection of its own.

        Raises:
            OSError: There was no answer, or none in `seconds`.
        """
        return await exchange(self.stage.system.url, method, path, self.token, body, seconds)

    async def create(self, name: str) -> None:
        """Make an endpoint at the mock provider and wait until it serves."""
        config = chat_config(self.stage.provider_url, "gpt-4o")
        created = await self.call("POST", ENDPOINTS, {"name": name, "config": config})
        assert created.status == 200, created

        async def serves() -> bool:
            return (
                await self.call("POST", f"/serving-endpoints/{name}/invocations", CHAT)
            ).status == 200

        await until(serves)


@dataclass(frozen=True)
class Stage:
    """A deployment that is attacked."""

    system: System
    provider_url: str

    @property
    def host(self) -> str:
        """Host of the public port."""
        return self.system.url.removeprefix("http://").rpartition(":")[0]

    @property
    def port(self) -> int:
        """Number of the public port."""
        return int(self.system.url.rpartition(":")[2])

    @property
    def logs(self) -> Path:
        """Folder of the logs."""
        return self.system.directory / "logs"

    async def tenant(self, name: str) -> Tenant:
        """Return a new user."""
        address = f"{name}@example.com"
        user = await self.system.call(
            "POST", "/api/2.0/preview/scim/v2/Users", {"userName": address}
        )
        assert user.status in (200, 201), user
        made = await self.system.call(
            "POST",
            "/api/2.0/token-management/on-behalf-of/tokens",
            {"application_id": address, "comment": "of the attacks"},
        )
        assert made.status == 200, made
        return Tenant(name, made.body["token_value"], self)

    def pids(self) -> dict[str, int | None]:
        """Return the process of each part."""
        parts = [self.system.envoy, self.system.control_plane, *self.system.workers]
        return {part.name: part.pid for part in parts}

    def memory(self) -> dict[str, int]:
        """Return the bytes of memory that each part has."""
        return {name: resident_bytes(pid) for name, pid in self.pids().items() if pid}

    def log_bytes(self) -> int:
        """Return the size of all logs."""
        return sum(path.stat().st_size for path in self.logs.iterdir())


def resident_bytes(pid: int) -> int:
    """Return the memory that a process has; 0: it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
    except OSError:
        return 0


async def exchange(
    url: str, method: str, path: str, token: str, body: object, seconds: float
) -> HttpAnswer:
    """Send one request on a connection of its own and return its answer.

    Raises:
        OSError: There was none, or none in `seconds`.
    """
    headers = {"authorization": f"Bearer {token}"} if token else {}
    async with asyncio.timeout(seconds):
        connection = await HttpConnection.open(url)
        try:
            return await connection.request(build_request(method, url + path, headers, body))
        finally:
            await connection.aclose()


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = _WAIT_SECONDS) -> None:
    """Return once `condition` holds; a refusal to connect does not count.

    Raises:
        TimeoutError: It did not come to hold in `seconds`.
    """
    async with asyncio.timeout(seconds):
        while True:
            try:
                if await condition():
                    return
            except OSError:
                pass
            await asyncio.sleep(0.05)


def error_of(answer: HttpAnswer) -> dict[str, Any]:
    """Return the body of a refusal, which has the shape of all refusals."""
    body: dict[str, Any] = json.loads(answer.body)
    assert {"error_code", "message"} <= set(body), answer
    return body
