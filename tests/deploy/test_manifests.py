"""Container manifests name only settings and commands that exist."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelplane.adapters.settings import variable_name
from modelplane.control_plane.settings import Settings as ControlPlaneSettings
from modelplane.deploy.worker.envoy_process import GRACE_SECONDS
from modelplane.deploy.worker.options import WorkerOptions

DEPLOY = Path(__file__).parents[2] / "deploy"
MANIFESTS = [DEPLOY / "compose.yaml", *sorted((DEPLOY / "kubernetes").glob("*.yaml"))]
KNOWN = {
    variable_name(setting.name)
    for settings in (ControlPlaneSettings, WorkerOptions)
    for setting in fields(settings)
}


@pytest.mark.parametrize("file", MANIFESTS, ids=lambda file: file.name)
def test_manifest(file: Path) -> None:
    text = file.read_text()
    documents = list(yaml.safe_load_all(text))
    assert all(isinstance(document, dict) for document in documents)
    assert set(re.findall(r"MODELPLANE_\w+", text)) <= KNOWN


@pytest.mark.parametrize("name", ["worker", "replica"])
def test_a_pod_has_time_to_drain(name: str) -> None:
    text = (DEPLOY / "kubernetes" / f"{name}.yaml").read_text()
    pod = next(yaml.safe_load_all(text))["spec"]["template"]["spec"]
    [container] = pod["containers"]
    settings = environment_of(container)
    sleep = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", [0])
    needed = float(sleep[-1]) + stop_seconds(settings)
    assert pod["terminationGracePeriodSeconds"] > needed
    # What is asked whether it is ready is what the clients ask.
    probe = container["readinessProbe"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    if name == "worker":
        assert settings["MODELPLANE_WORKER_LISTEN"].endswith(f":{probe['grpc']['port']}")
        assert probe["grpc"]["port"] == ports["inference"]
    else:
        assert probe["httpGet"] == {"path": "/health", "port": "public"}
        assert settings["MODELPLANE_PUBLIC_LISTEN"].endswith(f":{ports['public']}")


def test_a_composed_worker_has_time_to_drain() -> None:
    worker = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["worker"]
    grace = float(worker["stop_grace_period"].removesuffix("s"))
    assert grace > stop_seconds(worker["environment"])
    # Of the one that the image has.
    assert "user" not in worker


def environment_of(container: dict[str, Any]) -> dict[str, str]:
    return {item["name"]: item["value"] for item in container["env"]}


def stop_seconds(settings: dict[str, str]) -> float:
    """Return the longest time that a worker takes to end."""
    return float(settings["MODELPLANE_DRAIN_SECONDS"]) + GRACE_SECONDS


def test_dockerfile() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    assert set(re.findall(r"MODELPLANE_\w+", text)) <= KNOWN
    for source in re.findall(r"^COPY (\w\S*)", text, re.MULTILINE):
        assert (DEPLOY.parent / source).exists(), source
