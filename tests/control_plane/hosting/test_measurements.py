"""What a replica was measured to do is kept, and is the chunk from then on."""

from collections.abc import AsyncIterator

import pytest
from modelserving.launcher.v1.launcher_service_pb2 import Capacity
from modelserving.store.v1.hosting_pb2 import HostedModel

from modelplane.control_plane.hosting.engine_rules import POSSIBLE_ENGINES, USUAL_ENGINES
from modelplane.control_plane.hosting.measurements import Measurements
from modelplane.control_plane.hosting.throughput import Chunk, estimate
from modelplane.control_plane.shared_clock import SharedClock
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.hosting import launchers
from tests.control_plane.configs import hosted_model, hosting_version
from tests.control_plane.conftest import FakeClock
from tests.control_plane.hosting.sides import (
    CALIBRATION_MS,
    FakeLauncher,
    HostSide,
    host_side,
    is_settled,
    until,
)

MEASURED = 87.5


@pytest.fixture
async def side(database: Database, live_clock: FakeClock) -> AsyncIterator[HostSide]:
    async with host_side(database, live_clock) as running_side:
        yield running_side


@pytest.fixture
def measurements(database: Database, live_clock: FakeClock) -> Measurements:
    return Measurements(database, SharedClock(live_clock), "default")


def provisioned(name: str = "a") -> HostedModel:
    model = hosted_model(name)
    model.engine = "llama_cpp"
    model.scale.throughput_chunk = 80
    return model


async def measured(side: HostSide, measurements: Measurements) -> FakeLauncher:
    """Deploy a model, and return once what it does is known."""
    await side.push.follower("w1")
    launcher = await side.launcher()
    launcher.measures = MEASURED
    await side.deploy(hosting_version(1, provisioned()))
    await is_settled(side)

    async def is_known() -> bool:
        return not (await measurements.chunk_of(provisioned())).estimated

    await until(is_known)
    return launcher


async def test_before_a_launcher_says_what_it_has_it_may_have_any_engine(
    side: HostSide, measurements: Measurements
) -> None:
    # A model for one of them is refused since no launcher is there, which is worth another try.
    assert await measurements.engines() == POSSIBLE_ENGINES
    await side.launcher()

    async def is_known() -> bool:
        return await measurements.engines() == USUAL_ENGINES

    await until(is_known)


async def test_a_model_is_measured_once(side: HostSide, measurements: Measurements) -> None:
    model = provisioned()
    assert await measurements.chunk_of(model) == estimate(model)
    launcher = await measured(side, measurements)
    assert (launcher.desired or {})["group-a"].calibration_ms == CALIBRATION_MS
    assert await measurements.chunk_of(model) == Chunk(80, estimated=False)
    # By any entity that serves it.
    await side.deploy(hosting_version(2, provisioned("b")))
    await is_settled(side)
    assert (launcher.desired or {})["group-b"].calibration_ms == 0


@pytest.mark.parametrize("change", ["digest", "cpus", "concurrency"])
async def test_another_model_or_size_is_measured_by_itself(
    side: HostSide, measurements: Measurements, change: str
) -> None:
    await measured(side, measurements)
    other = provisioned()
    if change == "digest":
        other.source.digest = "f" * 64
    elif change == "cpus":
        other.size.cpus = 8
    else:
        other.size.concurrency = 1
    assert (await measurements.chunk_of(other)).estimated


async def test_another_machine_does_something_else(
    side: HostSide, measurements: Measurements
) -> None:
    await measured(side, measurements)
    async with side.push.database.write() as transaction:
        other = Capacity(cpus=2, processor="another one")
        await launchers.save_capacity(transaction, "default", "l1", other)
    assert (await measurements.chunk_of(provisioned())).estimated


async def test_what_is_not_provisioned_is_not_measured(
    side: HostSide, measurements: Measurements
) -> None:
    await side.push.follower("w1")
    launcher = await side.launcher()
    await side.deploy(hosting_version(1, hosted_model("a")))
    await is_settled(side)
    assert (launcher.desired or {})["group-a"].calibration_ms == 0
    assert (await measurements.chunk_of(hosted_model("a"))).estimated
