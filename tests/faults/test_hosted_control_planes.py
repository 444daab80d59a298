"""Two control planes on one PostgreSQL are killed in turn while they host a model."""

import asyncio
from collections import Counter
from pathlib import Path

import aiohttp
import pytest

from bench.system import ADMIN_TOKEN
from modelplane.deploy.local.http_client import HttpClient
from tests.deploy.envoy.envoys import running_envoy
from tests.faults.deployment import PATH
from tests.faults.rolling import SECONDS, Roll
from tests.faults.test_upgrade import until_serving, until_workers
from tests.hosting.e2e.deployment import add_foundation_model, language_model
from tests.hosting.e2e.processes import replicas_of

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
_HEADERS = {"authorization": f"Bearer {ADMIN_TOKEN}"}
_ASKED = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}
_KILLS = 6


class Model:
    """The endpoint, its processes, and what becomes of calls."""

    def __init__(self, client: aiohttp.ClientSession, roll: Roll) -> None:
        self.client = client
        self.roll = roll
        self.statuses: Counter[int] = Counter()
        # The most processes that there were at a time.
        self.most = 0

    @property
    def processes(self) -> list[int]:
        return replicas_of(self.roll.processes["launcher"].pid)

    async def query(self) -> None:
        """Ask without end."""
        while True:
            path = "/serving-endpoints/smol/invocations"
            async with self.client.post(path, json=_ASKED) as answer:
                await answer.read()
            self.statuses[answer.status] += 1
            await asyncio.sleep(0.05)

    async def watch(self) -> None:
        """Count processes without end."""
        while True:
            self.most = max(self.most, len(self.processes))
            await asyncio.sleep(0.05)

    async def deploy(self, method: str, path: str, turn: str) -> None:
        """Make or change the endpoint, so that another process serves it, and wait for that."""
        config = language_model(TURN=turn)
        body = {"name": "smol", "config": config} if method == "POST" else config
        async with asyncio.timeout(SECONDS):
            while True:
                async with self.client.request(method, PATH + path, json=body) as answer:
                    text = await answer.text()
                if answer.status != 503:
                    break
                await asyncio.sleep(0.1)
            assert answer.status == 200, text
            while not await self._serves(turn):
                await asyncio.sleep(0.1)

    async def _serves(self, turn: str) -> bool:
        async with self.client.get(f"{PATH}/smol") as answer:
            if answer.status != 200:
                return False
            found = await answer.json()
        if found["state"]["config_update"] == "IN_PROGRESS":
            return False
        [entity] = found["config"]["served_entities"]
        assert entity["environment_vars"] == {"TURN": turn}, found
        return bool(entity["state"]["deployment"] == "DEPLOYMENT_READY")

    async def has_one_process(self) -> None:
        async with asyncio.timeout(SECONDS):
            while len(self.processes) != 1:
                await asyncio.sleep(0.05)


async def test_control_planes_killed_in_turn_lose_nothing_and_start_nothing_twice(
    tmp_path: Path, postgres_url: str
) -> None:
    registry = tmp_path / "registry"
    add_foundation_model(registry)
    roll = Roll(tmp_path, postgres_url, {"MODELPLANE_REGISTRY": f"directory:{registry}"})
    async with (
        running_envoy(tmp_path, roll.control_planes, roll.workers[0]) as (public, admin),
        aiohttp.ClientSession(f"http://{public}", headers=_HEADERS) as client,
    ):
        try:
            for number in range(2):
                await roll.control_plane(number, ROOT)
                await until_serving(admin, number + 1)
            await roll.worker("a", ROOT)
            await roll.launcher(ROOT)
            await until_workers(admin, 1)
            model = Model(client, roll)
            await model.deploy("POST", "", "first")
            ended = await _kill_in_turn(model, admin)
        finally:
            await roll.end()
    assert [type(one) for one in ended] == [asyncio.CancelledError] * 2
    assert set(model.statuses) == {200}
    assert model.statuses.total() > 10 * _KILLS
    # What serves, and what takes its place.
    assert model.most == 2


async def _kill_in_turn(model: Model, admin: HttpClient) -> list[BaseException | None]:
    """Kill one control plane after the other under load; return how the load ended."""
    beside = [asyncio.create_task(one) for one in (model.query(), model.watch())]
    for turn in range(_KILLS):
        before = model.processes
        await model.roll.kill(f"control-plane-{turn % 2}")
        if turn % 3:
            await model.deploy("PUT", "/smol/config", f"{turn}")
            await model.has_one_process()
            assert model.processes != before
        await model.roll.control_plane(turn % 2, ROOT)
        await until_serving(admin, 2)
        if not turn % 3:
            assert model.processes == before
    for task in beside:
        task.cancel()
    return list(await asyncio.gather(*beside, return_exceptions=True))
