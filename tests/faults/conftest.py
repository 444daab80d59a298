"""A provider, a deployment of two workers that the tests share, and endpoints of their own."""

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bench.mock_provider import MockProvider, StreamShape
from bench.system import System, running_system
from tests.faults import deployment

SETTINGS = {
    # Short, so that a worker that is stopped fails an update soon.
    "MODELPLANE_PREPARE_TIMEOUT_SECONDS": "3",
    # Long, so that Envoy notices on a busy machine, too.
    "MODELPLANE_NOTICE_SECONDS": "3",
}


@pytest.fixture
async def provider_url() -> AsyncIterator[str]:
    """URL of a provider whose streams last long enough to span a change."""
    async with MockProvider(StreamShape(chunks=10, interval_seconds=0.005)) as provider:
        yield provider.url


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """Run a deployment of two workers, for all tests of this folder."""
    directory = tmp_path_factory.mktemp("deployment")
    options = ("--no-hosting", "--workers", "2")
    async with running_system(directory, *options, settings=SETTINGS) as running:
        yield running


_numbers = itertools.count(1)


@pytest.fixture
async def endpoint(system: System, provider_url: str) -> AsyncIterator[str]:
    """Name of an endpoint of the test's own, at version 1."""
    name = f"endpoint-{next(_numbers)}"
    created = await deployment.create(system, provider_url, name)
    assert created.status == 200, created
    await deployment.until(lambda: deployment.done(system, name, 1))
    await deployment.until(lambda: deployment.all_healthy(system))
    yield name
    async with asyncio.timeout(30):
        await system.call("DELETE", f"{deployment.PATH}/{name}")
