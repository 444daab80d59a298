"""Real models of real MLflow, served by the real server as the launcher starts it."""

import asyncio
import hashlib
import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelserving.launcher.v1 import launcher_service_pb2 as pb

from modelplane.launcher import model_server
from modelplane.launcher.local.users import can_change_users
from modelplane.launcher.supplies import download
from tests.hosting.models.cache import Saved
from tests.launcher.groups import MIB, SECONDS, group, machine
from tests.launcher.local.test_isolation import USERS

SERVER = Path(model_server.__file__).with_name("serve.py")


@dataclass(frozen=True)
class Environment:
    python: Path

    def release(self) -> None:
        """Stay for other tests."""


async def query(replica: pb.ReplicaReport, body: dict[str, Any]) -> tuple[int, Any]:
    """Ask a replica as workers do."""
    request = urllib.request.Request(
        f"http://{replica.address}/invocations",
        json.dumps(body).encode(),
        {"authorization": f"Bearer {replica.token}", "content-type": "application/json"},
    )
    return await asyncio.to_thread(_query, request)


def _query(request: urllib.request.Request) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def registered(folder: Path, saved: Saved, name: str) -> pb.ModelSource:
    """Put a saved model into a registry that is a directory."""
    version = folder / name / "1"
    shutil.copytree(saved.model(name), version)
    digest = hashlib.sha256((version / "MLmodel").read_bytes()).hexdigest()
    return pb.ModelSource(
        registry="directory", uri=str(folder), name=name, version="1", digest=digest
    )


async def test_a_real_model_answers_and_says_why_it_cannot(
    tmp_path: Path, mlflow_any: Saved
) -> None:
    async def build(model: Path, log: Callable[[str], None]) -> Environment:
        del model, log
        return Environment(mlflow_any.python)

    users = USERS if can_change_users() else ()
    size = pb.ReplicaSize(cpus=1, memory_bytes=1024 * MIB, concurrency=4)
    async with machine(tmp_path, users=users, build=build, server=SERVER) as here:
        here.launcher._means.preparer.artifacts._download = download
        models = {
            name: registered(tmp_path / "models", mlflow_any, name)
            for name in ("params", "raising")
        }
        # A real one imports more than the machine may be quick to read.
        specs = {
            name: group(model, size=size, start_deadline_ms=120_000)
            for name, model in models.items()
        }
        here.run(*specs.values())
        [scaled] = await here.until_ready(specs["params"])
        [raising] = await here.until_ready(specs["raising"])
        body = {"dataframe_split": {"columns": ["x"], "data": [[2.0]]}, "params": {"factor": 3.0}}
        status, answer = await query(scaled, body)
        assert (status, answer["predictions"][0]["scaled"]) == (200, 6.0)
        body = {"dataframe_split": {"columns": ["how"], "data": [["value"]]}}
        status, answer = await query(raising, body)
        assert status == 400
        assert "Traceback" not in json.dumps(answer)
        await here.until(lambda: "ValueError" in here.log(specs["raising"]))
