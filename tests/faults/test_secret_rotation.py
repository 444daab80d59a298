"""Secrets and the master key change under constant traffic: nothing fails, and nothing is stale."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from bench.http_client import HttpAnswer, HttpConnection, build_request
from bench.system import System, chat_config, running_system
from modelplane.control_plane.secrets.encryption import SealBroken, Sealer
from modelplane.control_plane.secrets.key_file import KeyFile
from modelplane.control_plane.secrets.keyring import FixedKeys, local_key
from modelplane.control_plane.secrets.rotation import count_by_key
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.secrets.scopes import insert_scope, put_secret
from modelplane.control_plane.store.secrets.sealed import SEALED, read_sealed, secret_place
from modelplane.deploy.local.child import python_command
from tests.faults import deployment
from tests.faults.traffic import constant_traffic

_SCOPE = "rotated"
_REFERENCE = "{{secrets/rotated/key}}"
_PUT = "/api/2.0/secrets/put"
_CLIENTS = 4
# Enough for an answer in each moment of a change, and little beside it.
_PAUSE_SECONDS = 0.01
# So many that wrapping them takes a while.
_SECRETS = 1_500
_KEY = re.compile(r"Bearer sk-(\d+)")


@asynccontextmanager
async def provider_that_tells_the_key() -> AsyncIterator[str]:
    """Yield the URL of a provider that answers with the number in the API key."""

    async def answer(request: web.Request) -> web.Response:
        found = _KEY.fullmatch(request.headers.get("Authorization", ""))
        if found is None:
            return web.json_response({"error": {"message": "wrong key"}}, status=401)
        message = {"role": "assistant", "content": found[1]}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        head = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
        return web.json_response({**head, "choices": [choice], "usage": usage})

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@dataclass
class Clients:
    """Query one after the other, each over a connection of its own."""

    system: System
    endpoint: str
    # Number of the newest value whose `put` was answered.
    floor: int = 0
    failures: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)

    async def run(self) -> None:
        """Query until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(_CLIENTS):
                tasks.create_task(self._query())

    async def _query(self) -> None:
        url = f"{self.system.url}/serving-endpoints/{self.endpoint}/invocations"
        body = {"messages": [{"role": "user", "content": "Hi"}]}
        message = build_request("POST", url, self.system.headers(), body)
        connection = await HttpConnection.open(url)
        try:
            while True:
                floor = self.floor
                self._note(await connection.request(message), floor)
                await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            await connection.aclose()

    def _note(self, answer: HttpAnswer, floor: int) -> None:
        if answer.status != 200:
            self.failures.append(f"{answer.status}: {answer.body[:200]!r}")
            return
        used = int(json.loads(answer.body)["choices"][0]["message"]["content"])
        self.seen.add(used)
        if used < floor:
            self.stale.append(f"value {used} after {floor}")


async def put(system: System, value: str) -> None:
    secret = {"scope": _SCOPE, "key": "key", "string_value": value}
    answer = await system.call("POST", _PUT, secret)
    assert answer.status == 200, answer


async def create_by_reference(system: System, provider_url: str, name: str, model: str) -> None:
    """Create an endpoint whose API key is a secret."""
    await system.call("POST", "/api/2.0/secrets/scopes/create", {"scope": _SCOPE})
    await put(system, "sk-0")
    config = chat_config(provider_url, model)
    openai = config["served_entities"][0]["external_model"]["openai_config"]
    del openai["openai_api_key_plaintext"]
    openai["openai_api_key"] = _REFERENCE
    created = await system.call("POST", deployment.PATH, {"name": name, "config": config})
    assert created.status == 200, created
    await deployment.until(lambda: deployment.done(system, name, 1))
    await deployment.until(lambda: deployment.all_healthy(system))


async def test_twenty_new_values_under_load(system: System) -> None:
    async with provider_that_tells_the_key() as provider_url:
        await create_by_reference(system, provider_url, "by-secret", "m")
        clients = Clients(system, "by-secret")
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(clients.run())
            for number in range(1, 21):
                await put(system, f"sk-{number}")
                clients.floor = number
                await deployment.until(lambda: _is_seen(clients))
            running.cancel()
        shown = await system.call("GET", f"{deployment.PATH}/by-secret")
        deleted = await system.call("DELETE", f"{deployment.PATH}/by-secret")
    assert clients.failures == []
    assert clients.stale == []
    assert clients.seen >= set(range(1, 21))
    assert shown.body["config"]["config_version"] == 1
    assert deleted.status == 200


async def _is_seen(clients: Clients) -> bool:
    return clients.floor in clients.seen


async def keys_command(system: System, *arguments: str) -> asyncio.subprocess.Process:
    """Start `modelplane keys` beside the deployment."""
    return await asyncio.create_subprocess_exec(
        *python_command("modelplane"),
        "keys",
        *arguments,
        "--data-dir",
        str(system.directory),
        stdout=asyncio.subprocess.PIPE,
    )


async def output_of(system: System, *arguments: str) -> str:
    """Run `modelplane keys`, which must succeed, and return what it prints."""
    process = await keys_command(system, *arguments)
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()


@pytest.fixture
async def own_system(tmp_path: Path) -> AsyncIterator[System]:
    """Run a deployment whose control plane the test may kill."""
    async with running_system(tmp_path, "--no-hosting", "--workers", "2") as running:
        yield running


async def test_the_master_key_is_replaced_under_load_though_it_is_killed_half_way(
    own_system: System, provider_url: str
) -> None:
    system = own_system
    file = KeyFile(system.directory / "master-key")
    (old,) = file.read()
    await create_by_reference(system, provider_url, "kept", "model-of-version-1")
    url = f"sqlite:///{system.directory / 'modelplane.db'}"
    async with aclosing(Database(url)) as database:
        await _fill(database, Sealer(FixedKeys(old)))
        async with constant_traffic(system, "kept", rate=30) as traffic:
            await _rotate_and_kill(system)
            half_way = await count_by_key(database)
            await _use_both_keys(system)
            await _finish(system, old)
            await traffic.wait_for(20)
        assert traffic.failures() == []
        (new,) = file.read()
        assert half_way[local_key(new).id] > 0
        assert half_way[local_key(old).id] > 0
        assert (await count_by_key(database)).keys() == {local_key(new).id}
        assert await _opened(database, new) > _SECRETS
        assert await _opened(database, old) == 0


async def _rotate_and_kill(system: System) -> None:
    rotation = await keys_command(system, "rotate")
    assert rotation.stdout is not None
    while b"wrapped" not in (await rotation.stdout.readline()):
        assert rotation.returncode is None
    rotation.kill()
    await rotation.communicate()


async def _use_both_keys(system: System) -> None:
    """Let secrets be opened by the control plane that runs, and by one that starts."""
    await put(system, "sk-1")
    deployment.kill(system.control_plane)
    await deployment.until(lambda: deployment.done(system, "kept", 1))
    await put(system, "sk-2")


async def _finish(system: System, old: bytes) -> None:
    old_id = local_key(old).id
    refused = await keys_command(system, "drop", old_id)
    await refused.communicate()
    assert refused.returncode == 1
    assert "older key" in await output_of(system, "rotate")
    assert f"dropped {old_id}" in await output_of(system, "drop", old_id)
    await put(system, "sk-3")


async def _fill(database: Database, sealer: Sealer) -> None:
    scopes = ("a", "b", "c")
    names = [(scope, f"key-{number}") for scope in scopes for number in range(_SECRETS // 3)]
    sealed = [await sealer.seal(b"value", secret_place(name)) for name in names]
    async with database.write() as transaction:
        for scope in scopes:
            await insert_scope(transaction, scope, "admin", 1)
        for name, value in zip(names, sealed, strict=True):
            await put_secret(transaction, name, value, 1)


async def _opened(database: Database, *keys: bytes) -> int:
    """Return how many sealed values the keys open."""
    count = 0
    for table in SEALED:
        async with database.read() as session:
            values = await read_sealed(session, table, None, 2 * _SECRETS)
        opened = await Sealer(FixedKeys(*keys)).open_all(
            [(value.sealed, value.place) for value in values]
        )
        count += sum(not isinstance(value, SealBroken) for value in opened)
    return count
