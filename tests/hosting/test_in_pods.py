"""A real model in a pod: the launcher's own process as its host, the real server, TLS."""

import asyncio
import hashlib
import json
import shutil
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from modelserving.launcher.v1 import launcher_service_pb2 as pb

from modelplane.adapters.shared.settings import environment
from modelplane.adapters.shared.tls import pinned
from tests.emulators.kubernetes.nodes import Container
from tests.hosting.models.cache import Saved, keep_environments
from tests.launcher.groups import MIB, group
from tests.launcher.kubernetes.world import cluster

pytestmark = pytest.mark.long


async def run_process(container: Container) -> int:
    """Run a container as the image does: `modelplane` with its arguments and variables."""
    given = dict(container.environment)
    # With the environments that were built before.
    keep_environments(Path(given["MODELPLANE_LAUNCHER_DIR"]).parent)
    # How packages are reached is this machine's matter.
    inherited = {key: value for key, value in environment().items() if "MODELPLANE" not in key}
    command = [str(Path(sys.executable).with_name("modelplane")), *container.arguments]
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**given, **inherited},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told = [asyncio.create_task(event.wait()) for event in (container.stop, container.killed)]
    assert process.stdout
    reading = asyncio.create_task(process.stdout.read())
    ended = asyncio.create_task(process.wait())
    await asyncio.wait([ended, *told], return_when=asyncio.FIRST_COMPLETED)
    for task in told:
        task.cancel()
    if not ended.done():
        process.terminate()
    status = await ended
    container.say((await reading).decode(errors="replace"))
    return status


def ask(replica: pb.ReplicaReport, body: object, token: str) -> Any:
    request = urllib.request.Request(
        f"https://{replica.address}/invocations",
        json.dumps(body).encode(),
        {"authorization": f"Bearer {token}", "content-type": "application/json"},
    )
    tls = pinned(replica.certificate)
    with urllib.request.urlopen(request, timeout=60, context=tls) as answer:
        return json.loads(answer.read())


async def test_a_real_model_serves_in_a_pod(tmp_path: Path, mlflow_3: Saved) -> None:
    version = tmp_path / "models" / "iris" / "1"
    shutil.copytree(mlflow_3.model("params"), version)
    model = pb.ModelSource(
        registry="directory",
        uri=str(tmp_path / "models"),
        name="iris",
        version="1",
        digest=hashlib.sha256((version / "MLmodel").read_bytes()).hexdigest(),
    )
    size = pb.ReplicaSize(cpus=1, memory_bytes=1024 * MIB, concurrency=4)
    async with cluster(tmp_path) as here:
        here.nodes.run = run_process
        here.run(spec := group(model, size=size, start_deadline_ms=120_000))

        def is_ready() -> bool:
            report = here.group(spec)
            assert report.progress != pb.GROUP_PROGRESS_FAILED, report.message
            return bool(here.ready(spec))

        await here.until(is_ready, 300)
        [replica] = here.ready(spec)
        question = {
            "dataframe_split": {"columns": ["x"], "data": [[2.0]]},
            "params": {"factor": 3.0},
        }
        answer = await asyncio.to_thread(ask, replica, question, replica.token)
        assert answer["predictions"][0]["scaled"] == 6.0
        with pytest.raises(urllib.error.HTTPError, match="401"):
            await asyncio.to_thread(ask, replica, question, "another")
        [pod] = here.pods()
        await here.until(
            lambda: "True" in str(here.server.store.read("pods", pod["metadata"]["name"])["status"])
        )
        here.run()
        await here.until_gone(spec)
