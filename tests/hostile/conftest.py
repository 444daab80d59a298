"""One deployment for all attacks, with a mock provider and an honest tenant."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bench.mock_provider import MockProvider, StreamShape
from bench.system import running_system
from tests.effort import times
from tests.hostile.stage import Stage, Tenant

# What the honest tenant calls.
HONEST = "honest"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Attack one worker, and in the long run two as well."""
    if "stage" in metafunc.fixturenames:
        # Not parameters of the fixture: this file may be read before it is known how much to try.
        workers = [1, 2][: times(1, 2)]
        metafunc.parametrize(
            "stage", workers, indirect=True, scope="package", ids="workers-{}".format
        )


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def stage(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    """A deployment that is attacked by one test after another."""
    directory = tmp_path_factory.mktemp("hostile")
    options = ("--no-hosting", "--workers", str(request.param))
    async with (
        MockProvider(StreamShape(chunks=3)) as provider,
        running_system(directory, *options) as system,
    ):
        yield Stage(system, provider.url)


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def honest(stage: Stage) -> Tenant:
    """A tenant whose calls must go on, with an endpoint that serves."""
    tenant = await stage.tenant("honest")
    await tenant.create(HONEST)
    return tenant


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def mallory(stage: Stage) -> Tenant:
    """A tenant without any right, who attacks."""
    return await stage.tenant("mallory")
