"""One running deployment for all pages; the providers come from `tests/e2e/fixtures.py`."""

import asyncio
from collections.abc import Iterator, Mapping

import pytest

from tests.docs.world import World, running_world
from tests.emulators.fleet import Fleet
from tests.postgres import fresh_database


@pytest.fixture(scope="package")
def world(tmp_path_factory: pytest.TempPathFactory, fleet: Fleet) -> Iterator[World]:
    """Give the deployment that the pages are about."""
    with running_world(tmp_path_factory.mktemp("docs"), fleet) as running:
        yield running


@pytest.fixture
def databases(
    world: World, postgres_server_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, str]]:
    """Give the variables of a page about PostgreSQL: a database that was used, and an empty one."""
    with asyncio.Runner() as runner:
        fresh = [fresh_database(postgres_server_url) for _ in range(2)]
        old, new = [runner.run(one.__aenter__()) for one in fresh]
        world.fill(old, tmp_path_factory.mktemp("postgres") / "data")
        yield {"DATABASE_URL": old, "NEW_DATABASE_URL": new}
        for one in fresh:
            runner.run(one.__aexit__(None, None, None))
