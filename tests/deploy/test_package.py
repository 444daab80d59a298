"""The wheel: one package, which nothing beside it and nothing in the working directory can hide."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from zipfile import ZipFile

import pytest

from modelplane.adapters.shared.settings import environment
from modelplane.deploy.local.child import python_variables
from tests.deploy.local.deployments import running

ROOT = Path(__file__).parents[2]
FOLDERS = ("adapters", "control_plane", "data_plane", "deploy", "launcher")
# Names that our parts have, and some that they import.
NAMES = (*FOLDERS, "modelplane", "modelserving", "protos", "grpc", "json", "logging", "uvloop")
BUILD = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
DECOY = "import pathlib; pathlib.Path({witness!r}).touch(); raise ImportError('the wrong module')\n"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a wheel from a copy of the sources."""
    copy = tmp_path_factory.mktemp("checkout") / "modelplane"
    copy.mkdir()
    skip = shutil.ignore_patterns("gen", "__pycache__")
    for name in (*FOLDERS, "protos", "src"):
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=skip)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, copy)
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-c", BUILD, out], cwd=copy, check=True, capture_output=True)
    [built] = out.iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Install the wheel beside packages of others with the names of our folders."""
    site = tmp_path_factory.mktemp("site")
    with ZipFile(wheel) as files:
        files.extractall(site)
    for name in FOLDERS:
        (site / name).mkdir()
        (site / name / "__init__.py").write_text("raise ImportError('a package of others')\n")
    # A working directory in the path is left out by `up`, wherever it stands.
    return {"PYTHONPATH": f".:{site}:"}


def test_everything_lies_below_one_package(wheel: Path) -> None:
    with ZipFile(wheel) as files:
        names = files.namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {
        "modelplane",
        "modelserving",
    }
    for name in FOLDERS:
        assert f"modelplane/{name}/__init__.py" in names
    assert "modelplane/deploy/envoy/reshape.lua" in names


@pytest.mark.parametrize(
    "command", ["version", "up --help", "worker --help", "control-plane --help"]
)
def test_commands_run_beside_packages_of_the_same_names(
    installed: Mapping[str, str], tmp_path: Path, command: str
) -> None:
    program = (
        "import sys, modelplane.deploy.command.cli as c; print(c.__file__); sys.exit(c.main())"
    )
    ended = subprocess.run(
        [sys.executable, "-P", "-c", program, *command.split()],
        env=python_variables({**environment(), **installed}),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    file, _, text = ended.stdout.partition("\n")
    assert file.startswith(installed["PYTHONPATH"].split(":")[1])
    assert "modelplane" in text


async def test_nothing_is_imported_from_the_working_directory(
    installed: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    witness = tmp_path / "imported"
    here = tmp_path / "here"
    for name in NAMES:
        (here / name).mkdir(parents=True)
        for file in (here / name / "__init__.py", here / f"{name}.py"):
            file.write_text(DECOY.format(witness=str(witness)))
    monkeypatch.chdir(here)
    for name, value in python_variables(installed).items():
        monkeypatch.setenv(name, value)
    async with running(tmp_path / "d", "--local-model") as deployment:
        assert (await deployment.client.call("GET", "/api/2.0/serving-endpoints")).ok
        assert [line for line in deployment.lines if "starting it again" in line] == []
    assert not witness.exists()
