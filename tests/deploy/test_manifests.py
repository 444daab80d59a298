"""Container manifests name only settings and commands that exist."""

import asyncio
import re
import shlex
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from modelplane.adapters.shared.settings import variable_name
from modelplane.control_plane.settings import Settings as ControlPlaneSettings
from modelplane.data_plane.settings import Settings as WorkerSettings
from modelplane.deploy.certificates import CertificateDir
from modelplane.deploy.command.cli import main
from modelplane.deploy.envoy.options import Address
from modelplane.deploy.local.ports import free_port
from tests.deploy.command.test_cli import validate
from tests.deploy.envoy.envoys import running_envoy, until_health
from tests.deploy.envoy.toy_planes import ToyControlPlane
from tests.deploy.envoy.toy_worker import ToyWorker

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "deploy" / "manifests"
FILES = [MANIFESTS / "compose.yaml", *sorted((MANIFESTS / "kubernetes").glob("*.yaml"))]
KNOWN = {
    variable_name(setting.name)
    for settings in (ControlPlaneSettings, WorkerSettings)
    for setting in fields(settings)
}
# Within which a draining worker is noticed, and hands over what it holds.
NOTICE_SECONDS, GRACE_SECONDS = 1.0, 5.0


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_manifest(file: Path) -> None:
    text = file.read_text()
    documents = list(yaml.safe_load_all(text))
    assert all(isinstance(document, dict) for document in documents)
    assert set(re.findall(r"MODELPLANE_\w+", text)) <= KNOWN


def replica() -> dict[str, Any]:
    text = (MANIFESTS / "kubernetes" / "replica.yaml").read_text()
    found: dict[str, Any] = next(yaml.safe_load_all(text))["spec"]["template"]["spec"]
    return found


def test_a_pod_has_time_to_drain() -> None:
    pod = replica()
    [worker], [envoy] = pod["initContainers"], pod["containers"]
    # It starts before Envoy and ends after it.
    assert worker["restartPolicy"] == "Always"
    pause = float(envoy["lifecycle"]["preStop"]["exec"]["command"][-1].split()[-1])
    assert pod["terminationGracePeriodSeconds"] > pause + stop_seconds(environment_of(worker))


async def test_the_pause_of_a_pod_begins_with_a_health_that_fails(tmp_path: Path) -> None:
    [envoy] = replica()["containers"]
    *shell, script = envoy["lifecycle"]["preStop"]["exec"]["command"]
    admin = Address("127.0.0.1", free_port(Random()))
    script = script.replace("9901", str(admin.port)).replace("sleep 30", "sleep 0")
    async with (
        ToyControlPlane() as control_plane,
        ToyWorker() as worker,
        running_envoy(tmp_path, control_plane.address, worker.address, admin=admin) as (public, _),
    ):
        await until_health(public, 200)
        process = await asyncio.create_subprocess_exec(*shell, script)
        assert await process.wait() == 0
        await until_health(public, 503)


def test_envoy_and_worker_of_a_pod_share_a_socket(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pod = replica()
    [worker], [envoy] = pod["initContainers"], pod["containers"]
    config = configured(capsys, (MANIFESTS / "kubernetes" / "replica.yaml").read_text())
    validate(config, tmp_path)
    socket = environment_of(worker)["MODELPLANE_WORKER_LISTEN"].removeprefix("unix:")
    assert f'"path": "{socket}"' in config
    for container in (worker, envoy):
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert str(Path(socket).parent) == mounts["run"]
    # The socket is for its owner only.
    assert pod["securityContext"]["runAsUser"]
    # What is asked whether it is ready is what the clients ask.
    [port] = envoy["ports"]
    assert envoy["readinessProbe"]["httpGet"] == {"path": "/health", "port": port["name"]}
    assert f'"port_value": {port["containerPort"]}' in config
    assert "/dev/tcp/127.0.0.1/9901" in envoy["lifecycle"]["preStop"]["exec"]["command"][-1]
    assert '"port_value": 9901' in config


def test_a_composed_worker_has_time_to_drain() -> None:
    worker = composed()["worker"]
    grace = float(worker["stop_grace_period"].removesuffix("s"))
    assert grace > stop_seconds(worker["environment"])
    # Of the one that the image has.
    assert "user" not in worker


def test_a_composed_envoy_and_its_workers_know_each_other(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    services = composed()
    CertificateDir(tmp_path / "tls").ensure(["control-plane"], datetime.now(UTC))
    config = configured(capsys, services["envoy-config"]["command"][0])
    assert '"address": "worker"' in config
    assert '"/tls/envoy.crt"' in config
    validate(config.replace('"/tls/', f'"{tmp_path}/tls/'), tmp_path)
    assert any("tls-envoy:/tls:ro" in volume for volume in services["envoy"]["volumes"])
    listen = services["worker"]["environment"]["MODELPLANE_WORKER_LISTEN"]
    assert f'"port_value": {listen.rpartition(":")[2]}' in config


def composed() -> Any:
    return yaml.safe_load((MANIFESTS / "compose.yaml").read_text())["services"]


def configured(capsys: pytest.CaptureFixture[str], text: str) -> str:
    """Return what the command prints that a manifest has the user run."""
    command = re.sub(r"[#\\]", "", text.partition("modelplane envoy-config ")[2].partition(">")[0])
    assert main(["envoy-config", *shlex.split(command)]) == 0
    return capsys.readouterr().out


def environment_of(container: dict[str, Any]) -> dict[str, str]:
    return {item["name"]: item["value"] for item in container["env"]}


def stop_seconds(settings: dict[str, str]) -> float:
    """Return the longest time that a worker takes to end."""
    return float(settings["MODELPLANE_DRAIN_SECONDS"]) + NOTICE_SECONDS + GRACE_SECONDS


def test_dockerfile() -> None:
    text = (MANIFESTS / "Dockerfile").read_text()
    assert set(re.findall(r"MODELPLANE_\w+", text)) <= KNOWN
    for source in re.findall(r"^COPY (\w\S*)", text, re.MULTILINE):
        assert (ROOT / source).exists(), source
