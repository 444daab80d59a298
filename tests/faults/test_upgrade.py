"""A roll from the last release to this commit, side by side, both ways of the wire, under load.

While there is no release, the older one is a commit: the last before a migration and before calls
that it does not know. This is for the long run, and for clones that have its history.
"""

import asyncio
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from bench.mock_provider import MockProvider, StreamShape
from bench.system import ADMIN_TOKEN
from modelplane.deploy.local.http_client import HttpClient
from tests.deploy.envoy.envoys import healthy_workers, running_envoy
from tests.faults.rolling import SECONDS, Load, Roll, going_on

ROOT = Path(__file__).parents[2]
_HEADERS = {"authorization": f"Bearer {ADMIN_TOKEN}"}


def find_old() -> str:
    """Return the last release before this commit, else the commit in its place."""
    asked = ["git", "-C", str(ROOT), "describe", "--tags", "--abbrev=0", "--match=v[0-9]*", "HEAD^"]
    found = subprocess.run(asked, capture_output=True, check=False, text=True)
    return found.stdout.strip() or "b5097ee"


OLD = find_old()


def has_history() -> bool:
    command = ["git", "-C", str(ROOT), "cat-file", "-e", f"{OLD}^{{commit}}"]
    return not subprocess.run(command, capture_output=True, check=False).returncode


pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not has_history(), reason=f"{OLD} is not in this clone"),
]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Return a checkout of the older commit, with code of its own protos."""
    target = tmp_path / "old"
    target.mkdir()
    packed = subprocess.run(
        ["git", "-C", str(ROOT), "archive", OLD], check=True, capture_output=True
    ).stdout
    subprocess.run(["tar", "-x", "-C", str(target)], input=packed, check=True)
    generate = "import sys; sys.path.insert(0, 'protos'); import build; build.compile_protos()"
    subprocess.run([sys.executable, "-P", "-c", generate], cwd=target, check=True)
    return target


async def until_workers(admin: HttpClient, count: int) -> None:
    async with asyncio.timeout(SECONDS):
        while await healthy_workers(admin) != count:
            await asyncio.sleep(0.1)


async def test_a_roll_loses_no_request(old: Path, tmp_path: Path, postgres_url: str) -> None:
    roll = Roll(tmp_path, postgres_url)
    async with (
        MockProvider(StreamShape(chunks=10, interval_seconds=0.005)) as provider,
        running_envoy(tmp_path, roll.control_planes, *roll.workers) as (public, admin),
        aiohttp.ClientSession(f"http://{public}", headers=_HEADERS) as client,
    ):
        load = Load(client, provider.url)
        try:
            await roll.control_plane(0, old)
            await roll.worker("a", old)
            await until_workers(admin, 1)
            await load.create()
            async with going_on(load):
                await check_roll(roll, load, admin, old)
        finally:
            await roll.end()
    assert load.failures == []
    assert load.queries > 100


async def check_roll(roll: Roll, load: Load, admin: HttpClient, old: Path) -> None:
    await load.change()
    # A new worker, and one control plane, which is old.
    await roll.worker("b", ROOT)
    await until_workers(admin, 2)
    await load.change()
    # An old control plane on a database that was brought up to date.
    await roll.start("migration", "migrate", ROOT, {})
    await roll.finished("migration")
    await load.change()
    # Both control planes, both workers.
    await roll.control_plane(1, ROOT)
    await until_serving(admin, 2)
    await load.change()
    # An old worker comes after the old control plane went.
    await roll.stop("control-plane-0")
    await roll.worker("c", old)
    await until_workers(admin, 3)
    await load.change()
    # All old ones end.
    for name in ("worker-a", "worker-c"):
        await roll.stop(name)
    await load.change()


async def until_serving(admin: HttpClient, count: int) -> None:
    """Wait until Envoy sends calls to so many control planes."""
    async with asyncio.timeout(SECONDS):
        while await healthy_control_planes(admin) != count:
            await asyncio.sleep(0.1)


async def healthy_control_planes(admin: HttpClient) -> int:
    answer = await admin.call("GET", "/clusters?format=json")
    [found] = [one for one in answer.json()["cluster_statuses"] if one["name"] == "control_plane"]
    hosts = found.get("host_statuses", ())
    return sum(not one["health_status"].get("failed_active_health_check") for one in hosts)
