"""The provider's side of the wire, and ours."""

from collections.abc import AsyncIterator

import pytest

from adapters.providers.http1 import Http1Transport
from tests.adapters.providers.upstream import Upstream


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as server:
        yield server


@pytest.fixture
async def transport() -> AsyncIterator[Http1Transport]:
    async with Http1Transport() as opened:
        yield opened
