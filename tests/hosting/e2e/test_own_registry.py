"""The registry that `modelplane up --registry sqlite` runs, and the documentation's example."""

import asyncio
import os
import signal
from pathlib import Path

import httpx

from modelplane.adapters.shared.settings import environment
from tests.deploy.local.deployments import Deployment, running, until_dead
from tests.hosting.models.cache import Saved, keep_environments

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "log_a_model.py"
ENDPOINTS = "/api/2.0/serving-endpoints"


async def test_a_newcomers_model_is_logged_registered_and_served(
    tmp_path: Path, mlflow_3: Saved
) -> None:
    keep_environments(tmp_path / "d")
    async with running(tmp_path / "d", "--registry", "sqlite") as deployment:
        # All else answers meanwhile.
        assert (await deployment.client.call("GET", ENDPOINTS)).ok
        line = await deployment.until_said("the model registry is ready")
        registry = line.rpartition("=")[2]
        assert await run_example(deployment, mlflow_3.python, registry) == "[0, 0]"

        # No endpoint may lead to it, whatever the operator has allowed.
        body = {"name": "leak", "config": {"served_entities": [leading_to(registry)]}}
        refused = await deployment.client.call("POST", ENDPOINTS, body)
        assert refused.status == 400
        assert b"openai_api_base" in refused.body

        # What it knows outlives it.
        pid = deployment.state["registry"]["pid"]
        os.kill(pid, signal.SIGKILL)
        await deployment.until_said("registry was killed")
        while deployment.state["registry"]["pid"] in {None, pid}:
            await asyncio.sleep(0.05)
        assert await versions_of("main.ml.iris", registry) == ["1"]
        again = {"name": "again", "config": {"served_entities": [kept()]}}
        assert (await deployment.client.call("POST", ENDPOINTS, again)).ok

        pid = deployment.state["registry"]["pid"]
        deployment.process.kill()
        await deployment.process.wait()
        await until_dead(pid)


def kept() -> dict[str, object]:
    """Return the entity that the example has registered."""
    return {
        "name": "prod",
        "entity_name": "main.ml.iris",
        "entity_version": "1",
        "workload_size": "Small",
        "scale_to_zero_enabled": True,
    }


async def versions_of(model: str, registry: str) -> list[str]:
    """Return the versions of a model, as soon as the registry answers."""
    path = "/api/2.0/mlflow/model-versions/search"
    async with httpx.AsyncClient(base_url=registry, trust_env=False, timeout=20) as client:
        while True:
            try:
                answer = await client.get(path, params={"filter": f"name='{model}'"})
            except httpx.ConnectError:
                await asyncio.sleep(0.1)
                continue
            return [one["version"] for one in answer.raise_for_status().json()["model_versions"]]


def leading_to(address: str) -> dict[str, object]:
    return {
        "name": "leak",
        "external_model": {
            "name": "leak",
            "provider": "openai",
            "task": "llm/v1/chat",
            "openai_config": {"openai_api_base": address, "openai_api_key_plaintext": "key"},
        },
    }


async def run_example(deployment: Deployment, python: Path, registry: str) -> str:
    """Run the example as a newcomer does, and return the last line that it prints."""
    process = await asyncio.create_subprocess_exec(
        python,
        "-I",
        EXAMPLE,
        cwd=deployment.data_dir,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={
            **environment(),
            "MLFLOW_TRACKING_URI": registry,
            "URL": str(deployment.state["url"]),
            "TOKEN": (deployment.data_dir / "admin-token").read_text().strip(),
        },
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()[-4000:]
    return out.decode().strip().splitlines()[-1]
