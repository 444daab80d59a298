"""A whole deployment, run by `modelplane up`, and calls of its REST API.

Used by `bench/data_plane.py` and by the load and fault tests.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.children import START_SECONDS, Child, child, free_address
from bench.http_client import HttpAnswer, HttpConnection, build_request

ADMIN_TOKEN = "bench-admin-token"
COMMAND = str(Path(sys.executable).with_name("modelplane"))


@dataclass(frozen=True)
class RestAnswer:
    """Answer of the REST API."""

    status: int
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """A process of a deployment."""

    name: str
    # None while it is being restarted.
    pid: int | None
    # `host:port` of its gRPC server; empty: it has none.
    grpc: str


@dataclass(frozen=True)
class System:
    """A running deployment."""

    url: str
    directory: Path
    up: Child

    @property
    def envoy(self) -> Part:
        """Envoy as it runs now."""
        return self._parts("envoy")[0]

    @property
    def control_plane(self) -> Part:
        """The control plane as it runs now."""
        return self._parts("control_plane")[0]

    @property
    def workers(self) -> list[Part]:
        """The workers as they run now."""
        return self._parts("workers")

    def _parts(self, kind: str) -> list[Part]:
        found = json.loads((self.directory / "up.json").read_text())[kind]
        parts = found if isinstance(found, list) else [found]
        return [Part(part.get("name", kind), part["pid"], part.get("grpc", "")) for part in parts]

    def headers(self) -> dict[str, str]:
        """Return the headers of an administrator's call."""
        return {"authorization": f"Bearer {ADMIN_TOKEN}"}

    async def call(self, method: str, path: str, body: object = None) -> RestAnswer:
        """Call the REST API.

        Raises:
            OSError: Envoy does not answer.
        """
        answer = await _exchange(self.url + path, method, self.headers(), body)
        return RestAnswer(answer.status, json.loads(answer.body or b"{}"))


@asynccontextmanager
async def running_system(
    directory: Path,
    *arguments: str,
    settings: Mapping[str, str] | None = None,
    program: str = COMMAND,
) -> AsyncIterator[System]:
    """Run `modelplane up` and yield it once it answers; end it on leaving.

    Args:
        directory: Its data directory.
        arguments: Further options of `modelplane up`.
        settings: Environment variables for all its parts.
        program: The command `modelplane`: this environment's, or another's.
    """
    address = free_address()
    command = (program, "up", "--data-dir", str(directory), "--port", address.rpartition(":")[2])
    environment = {
        "MODELPLANE_ADMIN_TOKEN": ADMIN_TOKEN,
        # The mock provider is on this machine.
        "MODELPLANE_ALLOWED_UPSTREAMS": "127.0.0.1",
        **(settings or {}),
    }
    async with child(*command, *arguments, settings=environment, directory=directory) as up:
        system = System(f"http://{address}", directory, up)
        async with asyncio.timeout(START_SECONDS):
            while not await _answers(system):
                up.check()
                await asyncio.sleep(0.05)
        yield system


async def _exchange(
    url: str, method: str, headers: Mapping[str, str], body: object = None
) -> HttpAnswer:
    connection = await HttpConnection.open(url)
    try:
        return await connection.request(build_request(method, url, headers, body))
    finally:
        await connection.aclose()


async def _answers(system: System) -> bool:
    try:
        health = await system.call("GET", "/health")
        listed = await system.call("GET", "/api/2.0/serving-endpoints")
    except (OSError, ValueError):
        return False
    return health.status == listed.status == 200 and (system.directory / "up.json").exists()


def chat_config(provider_url: str, model: str) -> dict[str, Any]:
    """Return the configuration of a chat endpoint whose answers repeat the name of its model.

    Args:
        provider_url: Where `bench.mock_provider` listens.
        model: Model that the provider is asked for.
    """
    entity = {
        "name": "mock",
        "external_model": {
            "name": model,
            "provider": "openai",
            "task": "llm/v1/chat",
            "openai_config": {
                "openai_api_key_plaintext": "sk-mock",
                "openai_api_base": f"{provider_url}/v1",
            },
        },
    }
    return {"served_entities": [entity]}
