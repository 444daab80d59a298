"""What is built where nothing but the build requirements is installed, as pip has it."""

import email
import shutil
import subprocess
import venv
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.install.locks import PYPROJECT, ROOT

# As a frontend of PEP 517 does it.
BUILD = "import sys; sys.path.insert(0, 'protos'); import backend; backend.build_wheel(sys.argv[1])"


def needed_by(names: list[str]) -> set[str]:
    """Return packages and what they need, as far as it is installed for them."""
    found: set[str] = set()
    while names:
        name = names.pop()
        if name not in found:
            found.add(name)
            lines = [Requirement(text) for text in distribution(name).requires or ()]
            names.extend(one.name for one in lines if not one.marker or one.marker.evaluate())
    return found


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a Python that has the build requirements, and no programs beside it."""
    home = tmp_path_factory.mktemp("isolated")
    venv.create(home, with_pip=False, symlinks=True)
    [site] = home.glob("lib/python*/site-packages")
    required = [Requirement(text).name for text in PYPROJECT["build-system"]["requires"]]
    for name in needed_by(required):
        for file in distribution(name).files or ():
            if ".." not in file.parts and "__pycache__" not in file.parts:
                (site / file).parent.mkdir(parents=True, exist_ok=True)
                (site / file).symlink_to(file.locate())
    return home / "bin" / "python"


@pytest.fixture(scope="module")
def wheel(python: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Return the wheel that is built from a copy without generated code."""
    source = tmp_path_factory.mktemp("parent") / "source"
    out = tmp_path_factory.mktemp("dist")
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "gen", "bench", "tests"))
    built = subprocess.run(
        [str(python), "-I", "-c", BUILD, str(out)],
        cwd=source,
        check=False,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    [file] = out.iterdir()
    return zipfile.ZipFile(file)


def test_users_need_no_generator_of_type_stubs(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    assert "modelserving/v1/endpoint_service_pb2_grpc.py" in names
    assert not [name for name in names if name.endswith(".pyi")]


def test_the_wheel_says_what_its_generated_code_needs(wheel: zipfile.ZipFile) -> None:
    [name] = [name for name in wheel.namelist() if name.endswith("METADATA")]
    metadata = email.message_from_bytes(wheel.read(name))
    needed = {one.name: one for one in map(Requirement, metadata.get_all("Requires-Dist", []))}
    for wanted in map(Requirement, PYPROJECT["project"]["dependencies"]):
        assert needed[wanted.name].specifier == wanted.specifier
    generated = wheel.read("modelserving/v1/endpoint_service_pb2_grpc.py").decode()
    assert f"'{next(iter(needed['grpcio'].specifier)).version}'" in generated
    assert metadata["Requires-Python"] == ">=3.11"


def test_a_python_that_is_too_old_is_told_so_before_anything_is_downloaded(python: Path) -> None:
    old = "import sys; sys.version_info = (3, 10, 13, 'final', 0); "
    refused = subprocess.run(
        [str(python), "-I", "-c", old + BUILD],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert refused.returncode == 1
    [line] = refused.stderr.splitlines()
    assert line == "modelplane needs Python 3.11 or newer, and this is Python 3.10"
    there = {"python_version": "3.10"}
    required = map(Requirement, PYPROJECT["build-system"]["requires"])
    assert not [one.name for one in required if not one.marker or one.marker.evaluate(there)]
