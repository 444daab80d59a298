"""The emulated REST API of Ray refuses what the real one refuses.

`tests/hosting/test_on_ray.py` asks a real one the same.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.emulators.ray import questions
from tests.emulators.ray.cluster import Cluster, Node, Process
from tests.emulators.ray.server import Ray


async def run(process: Process) -> int:
    """Do what the commands of the questions do."""
    if process.entrypoint == questions.ENDLESS:
        await process.stop.wait()
        return 143
    process.say("a last word\n")
    return 7


@pytest.fixture
async def ray() -> AsyncIterator[Ray]:
    ray = Ray(Cluster(run, Node("127.0.0.2")), questions.TOKEN)
    async with ray.running():
        working = asyncio.create_task(ray.cluster.work())
        yield ray
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def test_it_answers_as_the_real_one(ray: Ray) -> None:
    await questions.ask_all(ray.url, questions.TOKEN)
