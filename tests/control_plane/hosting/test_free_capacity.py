"""What launchers have for the groups of a version: room, devices, and whether there is one."""

from collections.abc import Sequence

import pytest
from modelserving.launcher.v1.launcher_service_pb2 import Device

from modelplane.control_plane.endpoints.lifecycle import Endpoints
from modelplane.control_plane.errors import InvalidParameter, LauncherAway, StoreUnavailable
from modelplane.control_plane.hosting.pinning import Pinning
from modelplane.control_plane.secrets.encryption import Sealer
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.hosting import launchers
from modelplane.control_plane.store.hosting.launchers import Claim
from modelplane.control_plane.store.states import GroupPhase
from tests.control_plane.conftest import ALICE, FakeClock
from tests.control_plane.hosting.test_lifecycle import request
from tests.control_plane.hosting.worlds import GIB, HOSTED, FakeLauncher, FakeRegistry
from tests.control_plane.rollouts import FakeRollout


async def test_what_does_not_fit_is_refused_at_once(
    hosting: Endpoints, launcher: FakeLauncher
) -> None:
    await launcher.connect(memory_bytes=3 * GIB // 2)
    await hosting.create(ALICE, request())
    other = request()
    other.name = "other"
    message = r"'model-A-1' needs 1.0 GiB of memory, and 512.0 MiB of 1.5 GiB are free"
    with pytest.raises(InvalidParameter, match=message):
        await hosting.create(ALICE, other)
    # What scaled to zero takes no room.
    await launcher.say(GroupPhase.IDLE)
    await hosting.create(ALICE, other)


T4 = Device(name="Tesla T4", memory_bytes=15 * GIB)


@pytest.mark.parametrize(
    ("devices", "message"),
    [
        ((), r"needs 1 T4 GPUs with 12.0 GiB each; the launcher's machine has no GPU"),
        ((Device(name="Tesla T4", memory_bytes=8 * GIB),), "has 1 Tesla T4 with 8.0 GiB"),
        ((Device(name="NVIDIA H100", memory_bytes=80 * GIB),), "has 1 NVIDIA H100 with 80"),
    ],
)
async def test_what_needs_a_device_that_no_launcher_has_is_refused_at_once(
    gpu_hosting: Endpoints, launcher: FakeLauncher, devices: Sequence[Device], message: str
) -> None:
    await launcher.connect(devices=devices)
    with pytest.raises(InvalidParameter, match=message):
        await gpu_hosting.create(ALICE, request({**HOSTED, "workload_type": "GPU_SMALL"}))


async def test_devices_that_others_have_are_not_promised_again(
    gpu_hosting: Endpoints, launcher: FakeLauncher
) -> None:
    await launcher.connect(devices=(T4,))
    await gpu_hosting.create(ALICE, request({**HOSTED, "workload_type": "GPU_SMALL"}))
    other = request({**HOSTED, "workload_type": "GPU_SMALL"})
    other.name = "other"
    with pytest.raises(InvalidParameter, match=r"needs 1 T4 GPUs with .*, and 0 of 1 are free"):
        await gpu_hosting.create(ALICE, other)


async def test_without_a_launcher_nothing_is_hosted(hosting: Endpoints, clock: FakeClock) -> None:
    clock.now_ms += 10_001
    with pytest.raises(LauncherAway, match="try again soon"):
        await hosting.create(ALICE, request())


async def test_a_launcher_that_cannot_renew_its_lease_is_not_said_to_be_away(
    hosting: Endpoints, database: Database, clock: FakeClock
) -> None:
    clock.now_ms += 10_001
    readonly = "SET TRANSACTION READ ONLY" if database.is_postgresql else "PRAGMA query_only = 1"
    with pytest.raises(StoreUnavailable, match="its disk is full or read-only"):
        async with database.write() as transaction:
            await (await transaction.session.connection()).exec_driver_sql(readonly)
            new = Claim("default", "launcher-1", "local", clock() + 10_000)
            await launchers.claim(transaction, new, clock())
    with pytest.raises(StoreUnavailable, match="its disk is full or read-only"):
        await hosting.create(ALICE, request())


async def test_a_deployment_that_never_had_a_launcher_says_so(
    database: Database, sealer: Sealer, rollout: FakeRollout, clock: FakeClock
) -> None:
    registry = FakeRegistry()
    endpoints = Endpoints(database, sealer, rollout, clock, pinning=Pinning(registry))
    with pytest.raises(LauncherAway, match="try again soon"):
        await endpoints.create(ALICE, request())


async def test_a_launcher_that_has_not_said_what_it_has_is_waited_for(
    database: Database, sealer: Sealer, rollout: FakeRollout, clock: FakeClock
) -> None:
    endpoints = Endpoints(database, sealer, rollout, clock, pinning=Pinning(FakeRegistry()))
    async with database.write() as transaction:
        new = Claim("default", "launcher-1", "local", clock() + 10_000)
        await launchers.claim(transaction, new, clock())
    with pytest.raises(LauncherAway, match="not said yet what it has"):
        await endpoints.create(ALICE, request())
