"""`modelplane up --custom-model`: a model that a script has trained and registered."""

import asyncio
from pathlib import Path

import pytest

from modelplane.adapters.shared.settings import environment
from modelplane.deploy.envoy.options import Address
from modelplane.deploy.local.custom_model.deployment import CustomModel
from modelplane.deploy.local.data_dir import DataDir
from modelplane.deploy.local.http_client import HttpClient
from modelplane.deploy.local.options import CUSTOM_MODEL, UpOptions
from modelplane.deploy.local.plan import Plan, Tokens, port_names
from tests.deploy.local.deployments import running

RIDE = {"dataframe_records": [{"km": 12, "minutes": 30, "night": True}]}
QUERY = f"/serving-endpoints/{CUSTOM_MODEL}/invocations"
ENDPOINT = f"/api/2.0/serving-endpoints/{CUSTOM_MODEL}"


@pytest.mark.long
async def test_it_is_trained_registered_and_served_and_once_only(tmp_path: Path) -> None:
    async with running(tmp_path / "d", "--custom-model") as deployment:
        curl = await deployment.until_said(QUERY)
        assert curl.strip().startswith("curl ")
        await deployment.until_said(f"{CUSTOM_MODEL} answers, ")
        answer = await deployment.client.call("POST", QUERY, {**RIDE, "params": {"tip": 0.5}})
        fare = answer.json()["predictions"][0]["fare"]
        assert abs(fare - 1.5 * (3.5 + 12 * 1.6 + 30 * 0.4 + 2.5)) < 0.5
        # The script and the model had one environment.
        built = tmp_path / "d" / "launcher" / "environments"
        assert len([path for path in built.iterdir() if (path / "venv").exists()]) == 1
    trained = next((tmp_path / "d" / "models").rglob("MLmodel")).stat().st_mtime_ns
    async with running(tmp_path / "d", "--custom-model") as deployment:
        await deployment.until_said(f"{CUSTOM_MODEL} answers, ")
        assert (await deployment.client.call("POST", QUERY, RIDE)).ok
        shown = (await deployment.client.call("GET", ENDPOINT)).json()
        assert shown["config"]["config_version"] == 1
        assert next((tmp_path / "d" / "models").rglob("MLmodel")).stat().st_mtime_ns == trained


async def test_without_packages_a_line_says_so_and_it_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "logs").mkdir()
    ports = dict.fromkeys((*port_names(UpOptions()), "control-plane"), 1)
    nowhere = {"UV_OFFLINE": "1", "UV_FIND_LINKS": "", "PIP_CONFIG_FILE": "/dev/null"}
    for name, value in nowhere.items():
        monkeypatch.setenv(name, value)
    plan = Plan(UpOptions(), DataDir(tmp_path), tmp_path, ports, Tokens("dapi"), environment())
    lines: asyncio.Queue[str] = asyncio.Queue()
    client = HttpClient(Address("127.0.0.1", 1))
    work = asyncio.create_task(CustomModel(plan, client, lines.put_nowait).run())
    line = await lines.get()
    assert line.startswith("there is no custom model yet: ")
    assert "fetching off. It is tried again each minute (log: " in line
    assert not work.done()
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    log = plan.data_dir.log_file("custom-model")
    assert "Building an environment" in await asyncio.to_thread(log.read_text)
    assert not list(plan.data_dir.models.iterdir())


def test_it_needs_the_launcher_and_leaves_a_registry_to_its_owner() -> None:
    with pytest.raises(ValueError, match="--no-hosting"):
        UpOptions(custom_model=True, no_hosting=True)
    assert not UpOptions(custom_model=True, registry="directory:/models").serves_custom_model
