"""Manifests of containers name only settings and commands that exist; `chart` has Kubernetes."""

import re
import shlex
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelplane.adapters.shared.settings import variable_name
from modelplane.control_plane.settings import Settings as ControlPlaneSettings
from modelplane.data_plane.settings import Settings as WorkerSettings
from modelplane.deploy.certificates import CertificateDir
from modelplane.deploy.command.cli import main
from tests.deploy.command.test_cli import validate

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "deploy" / "manifests"
FILES = [MANIFESTS / "compose.yaml"]
KNOWN = {
    variable_name(setting.name)
    for settings in (ControlPlaneSettings, WorkerSettings)
    for setting in fields(settings)
}
# Within which a draining worker is noticed, and hands over what it holds.
NOTICE_SECONDS, GRACE_SECONDS = 1.0, 5.0


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.name}")
def test_manifest(file: Path) -> None:
    text = file.read_text()
    documents = list(yaml.safe_load_all(text))
    assert all(isinstance(document, dict) for document in documents)
    assert set(re.findall(r"MODELPLANE_\w+", text)) <= KNOWN


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


def stop_seconds(settings: dict[str, str]) -> float:
    """Return the longest time that a worker takes to end."""
    return float(settings["MODELPLANE_DRAIN_SECONDS"]) + NOTICE_SECONDS + GRACE_SECONDS


def test_prometheus_finds_the_parts_that_are_composed() -> None:
    jobs = yaml.safe_load((MANIFESTS / "prometheus.yaml").read_text())["scrape_configs"]
    for job in jobs:
        [found] = job["dns_sd_configs"]
        [name] = found["names"]
        listens = composed()[name]["environment"]
        [page] = [value for key, value in listens.items() if key.endswith("METRICS_LISTEN")]
        assert page == f"0.0.0.0:{found['port']}"
