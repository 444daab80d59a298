"""Container manifests name only settings and commands that exist."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

import deploy
from adapters.settings import variable_name
from control_plane.settings import Settings as ControlPlaneSettings
from data_plane.settings import Settings as WorkerSettings

DEPLOY = Path(deploy.__file__).parent
MANIFESTS = [DEPLOY / "compose.yaml", *sorted((DEPLOY / "kubernetes").glob("*.yaml"))]
KNOWN = {
    variable_name(setting.name)
    for settings in (ControlPlaneSettings, WorkerSettings)
    for setting in fields(settings)
}


@pytest.mark.parametrize("file", MANIFESTS, ids=lambda file: file.name)
def test_manifest(file: Path) -> None:
    text = file.read_text()
    documents = list(yaml.safe_load_all(text))
    assert all(isinstance(document, dict) for document in documents)
    assert set(re.findall(r"MODELPLANE_\w+", text)) <= KNOWN


def test_dockerfile() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    assert set(re.findall(r"MODELPLANE_\w+", text)) <= KNOWN
    for source in re.findall(r"^COPY (\w\S*)", text, re.MULTILINE):
        assert (DEPLOY.parent / source).exists(), source
