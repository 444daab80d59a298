from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.data_plane.conftest import running_system
from tests.data_plane.envoy import Bridge
from tests.data_plane.fakes import FakeControlPlane
from tests.data_plane.hosting.world import World


@pytest.fixture
async def world(
    bridge: Bridge, control_plane: FakeControlPlane, tmp_path: Path
) -> AsyncIterator[World]:
    async with running_system(bridge, control_plane, tmp_path) as system:
        yield World(system)


@pytest.fixture
async def hasty(
    bridge: Bridge, control_plane: FakeControlPlane, tmp_path: Path
) -> AsyncIterator[World]:
    """A worker that holds requests for a moment only, and lets models work no longer."""
    bounds = {"hold_seconds": 0.3, "evaluation_seconds": 0.3}
    async with running_system(bridge, control_plane, tmp_path, **bounds) as system:
        yield World(system)
