"""The provider's side of the wire, and ours."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from modelplane.adapters.providers.http.client import Http1Transport
from tests.adapters.providers.authority import authority_file, one_authority
from tests.adapters.providers.upstream import Upstream

__all__ = ["authority_file", "one_authority"]


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run what tests transports on both loops: asyncio's is strict, workers run on uvloop."""
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    if item.path.stem.startswith("test_http"):
        loops["uvloop"] = uvloop.new_event_loop
    return loops


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as server:
        yield server


@pytest.fixture
async def transport() -> AsyncIterator[Http1Transport]:
    async with Http1Transport() as opened:
        yield opened
