"""Accelerators: found by what the driver's program says, each of them one replica's."""

import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from modelserving.launcher.v1 import launcher_service_pb2 as pb

from modelplane.launcher.local.devices import (
    Device,
    Devices,
    NoDevices,
    describe,
    find_devices,
    visible,
)
from tests.launcher.groups import ask, group, machine

GIB = 1 << 30
T4 = Device("GPU-5b2f1c0e-0000-4a6e-9d0f-000000000001", "Tesla T4", 15 * GIB)
A100 = Device("GPU-5b2f1c0e-0000-4a6e-9d0f-000000000002", "NVIDIA A100-SXM4-80GB", 80 * GIB)
# As `nvidia-smi --query-gpu=uuid,name,memory.total --format=csv,noheader,nounits` prints it.
SAID = f"{T4.id}, Tesla T4, 15360\n{A100.id}, NVIDIA A100-SXM4-80GB, 81920\n"


def program(folder: Path, said: str, status: int = 0) -> tuple[str]:
    path = folder / "nvidia-smi"
    path.write_text(
        f"#!{sys.executable}\nimport sys\nprint({said!r}, end='')\nsys.exit({status})\n"
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return (str(path),)


def size(**fields: Any) -> pb.ReplicaSize:
    return pb.ReplicaSize(**({"cpus": 1, "memory_bytes": 256 << 20, "concurrency": 4} | fields))


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        (None, [T4, A100]),
        ("", []),
        ("1", [A100]),
        ("1, 0", [A100, T4]),
        (A100.id, [A100]),
        (T4.id[:40], [T4]),
        ("1,1", [A100]),
        ("0,7,1", [T4]),
        ("-1", []),
    ],
)
def test_a_launcher_has_those_that_it_is_given(said: str | None, seen: list[Device]) -> None:
    # As CUDA itself reads CUDA_VISIBLE_DEVICES.
    assert visible([T4, A100], said) == seen


def test_what_the_driver_lists_is_found(tmp_path: Path) -> None:
    found = find_devices(program(tmp_path, SAID))
    assert found == [T4, A100]
    told = describe(found)
    assert told == "1 Tesla T4 with 15.0 GiB, 1 NVIDIA A100-SXM4-80GB with 80.0 GiB"


@pytest.mark.parametrize(
    ("said", "status"),
    [("", 0), ("No devices were found\n", 0), ("NVIDIA-SMI has failed\n", 9), ("a, b, [N/A]\n", 0)],
)
def test_what_the_driver_does_not_list_is_not_there(tmp_path: Path, said: str, status: int) -> None:
    assert find_devices(program(tmp_path, said, status)) == []


def test_a_machine_without_the_driver_has_none() -> None:
    assert find_devices(("/nowhere/nvidia-smi",)) == []


def test_the_least_that_will_do_is_taken_and_no_device_twice() -> None:
    devices = Devices([A100, T4])
    assert devices.take(size()) == []
    first = devices.take(size(gpus=1))
    assert first == [T4]
    assert devices.take(size(gpus=1, gpu_memory_bytes=40 * GIB)) == [A100]
    with pytest.raises(NoDevices, match="needs 1 t4 GPUs, and of") as caught:
        devices.take(size(gpus=1, gpu_type="t4"))
    assert caught.value.is_soon_there
    devices.release(first)
    assert devices.take(size(gpus=1, gpu_type="t4")) == [T4]


def test_what_is_not_there_at_all_never_will_be() -> None:
    with pytest.raises(NoDevices, match="1 H100 GPUs with 80") as found:
        Devices([T4]).take(size(gpus=1, gpu_type="H100", gpu_memory_bytes=80 * GIB))
    assert not found.value.is_soon_there


async def test_a_replica_sees_its_own_devices_alone(tmp_path: Path) -> None:
    async with machine(tmp_path, devices=[T4, A100]) as here:
        large = size(gpus=1, gpu_type="A100")
        specs = [
            group(here.models.add("one"), size=size(gpus=1)),
            group(here.models.add("two"), size=large, environment={"CUDA_VISIBLE_DEVICES": "0"}),
            group(here.models.add("none")),
        ]
        here.run(*specs)
        for spec, devices in zip(specs, (T4.id, A100.id, ""), strict=True):
            (replica,) = await here.until_ready(spec)
            assert await ask(replica, run="os.environ['CUDA_VISIBLE_DEVICES']") == devices
        capacity = here.report().capacity
        assert (capacity.gpus, [one.name for one in capacity.devices]) == (2, [T4.name, A100.name])


async def test_a_device_is_free_once_its_replica_has_ended(tmp_path: Path) -> None:
    async with machine(tmp_path, devices=[T4]) as here:
        first = group(here.models.add("one"), size=size(gpus=1))
        second = group(here.models.add("two"), size=size(gpus=1))
        here.run(first)
        await here.until_ready(first)
        here.run(second)
        await here.until_ready(second)


async def test_a_replica_that_no_device_fits_fails_in_words(tmp_path: Path) -> None:
    async with machine(tmp_path, devices=[T4]) as here:
        spec = group(here.models.add("one"), size=size(gpus=2))
        here.run(spec)
        assert "needs 2 GPUs, and of those here (1 Tesla T4" in await here.until_failed(spec)
