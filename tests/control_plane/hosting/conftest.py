"""Endpoints of a deployment that hosts models."""

import json

import pytest

from modelplane.control_plane.clock import system_clock
from modelplane.control_plane.endpoints.lifecycle import Endpoints
from modelplane.control_plane.hosting.engine_rules import USUAL_ENGINES
from modelplane.control_plane.hosting.pinning import Pinning
from modelplane.control_plane.hosting.workloads import parse_workloads
from modelplane.control_plane.secrets.encryption import Sealer
from modelplane.control_plane.store.database import Database
from tests.control_plane.conftest import FakeClock
from tests.control_plane.hosting.worlds import FakeLauncher, FakeRegistry
from tests.control_plane.rollouts import FakeRollout


@pytest.fixture
def registry() -> FakeRegistry:
    return FakeRegistry()


@pytest.fixture
async def launcher(database: Database, clock: FakeClock) -> FakeLauncher:
    connected = FakeLauncher(database, clock)
    await connected.connect()
    return connected


@pytest.fixture
def hosting(
    database: Database,
    sealer: Sealer,
    rollout: FakeRollout,
    clock: FakeClock,
    registry: FakeRegistry,
    launcher: FakeLauncher,
) -> Endpoints:
    del launcher  # It is connected.
    return Endpoints(database, sealer, rollout, clock, pinning=Pinning(registry))


@pytest.fixture
def gpu_hosting(
    database: Database,
    sealer: Sealer,
    rollout: FakeRollout,
    clock: FakeClock,
    registry: FakeRegistry,
) -> Endpoints:
    """Of a deployment whose operator has named a workload type with a GPU."""
    gpu = {"cpus": 1, "memory": "1GiB", "gpus": 1, "gpu_type": "T4", "gpu_memory": "12GiB"}
    types = parse_workloads(json.dumps({"CPU": {"cpus": 1, "memory": "1GiB"}, "GPU_SMALL": gpu}))
    return Endpoints(database, sealer, rollout, clock, pinning=Pinning(registry, types))


@pytest.fixture
def engine_hosting(
    database: Database,
    sealer: Sealer,
    rollout: FakeRollout,
    clock: FakeClock,
    registry: FakeRegistry,
) -> Endpoints:
    """Of a deployment that has an engine for language models."""
    pinning = Pinning(registry, engines=USUAL_ENGINES)
    return Endpoints(database, sealer, rollout, clock, pinning=pinning)


@pytest.fixture
def live_clock() -> FakeClock:
    """A clock that begins with the machine's, which rollouts go by."""
    clock = FakeClock()
    clock.now_ms = system_clock()
    return clock
