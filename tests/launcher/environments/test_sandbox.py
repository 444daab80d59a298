"""Builds where the launcher is root: what a package runs reaches nothing but its own build."""

import os
import shutil
import stat
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import uv

from modelplane.launcher.environments.cache import Environments, Options
from modelplane.launcher.environments.failures import EnvironmentFailed
from modelplane.launcher.local import seen
from modelplane.launcher.local.builds import BuildUsers
from modelplane.launcher.local.users import Users, can_change_users
from tests.launcher.environments.packages import write_model, write_source, write_wheel

pytestmark = pytest.mark.skipif(not can_change_users(), reason="only root starts others as others")

# Each test that builds has its own, since tests run beside each other.
USERS = range(60640, 60643)
OTHER_USERS = range(60644, 60645)
FETCHER = 60643
# Tries all that it is given, notes what came of it, and leaves a process behind.
HOSTILE = """
import glob, os, subprocess, zipfile

def tried(what, path):
    try:
        what(path)
        return "done"
    except OSError as error:
        return type(error).__name__

def read(path):
    open(path, "rb").read()

def write(path):
    open(path, "w").write("pwned")

nowhere = subprocess.DEVNULL
subprocess.Popen(["sleep", "600"], start_new_session=True, stdout=nowhere, stderr=nowhere)
found = {path: (tried(read, path), tried(write, path)) for path in PATHS}
found["user"] = os.getuid()
found["beside"] = sorted(os.listdir(FOLDER))

def build_wheel(folder, settings=None, metadata=None):
    name = "hostile-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        wheel.writestr("hostile.py", "found = " + repr(found))
        info = "hostile-1.0.dist-info/"
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: hostile\\nVersion: 1.0\\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nTag: py3-none-any\\n")
        wheel.writestr(info + "RECORD", "")
    return name
"""


@pytest.fixture
def packages() -> Iterator[Path]:
    """Give an index of packages, which all users can reach: those of pytest are for one alone."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        (Path(name) / "packages").mkdir()
        yield Path(name) / "packages"


@pytest.fixture
def data(packages: Path) -> Path:
    """Give a data directory, which is for its owner alone."""
    folder = packages.parent / "data"
    folder.mkdir(mode=0o700)
    (folder / "modelplane.db").write_text("readable by all who come so far")
    (folder / "master-key").write_text("secret")
    return folder


def environments(data: Path, packages: Path, users: range = USERS) -> Environments:
    environ = {"PATH": os.defpath, "UV_FIND_LINKS": str(packages), "UV_NO_INDEX": "1"}
    sandbox = BuildUsers(Users(users, data / "users"), FETCHER)
    return Environments(
        data / "launcher" / "environments", Options(environ, shared=True, sandbox=sandbox)
    )


def model(data: Path, name: str, requirements: str) -> Path:
    return write_model(data / "models" / name, {"requirements.txt": requirements})


def as_stranger(data: Path, python: Path, code: str) -> str:
    """Run code as a replica does: as another user, for whom the data directory is open."""
    data.chmod(0o711)
    try:
        return _as_stranger(python, code)
    finally:
        data.chmod(0o700)


def _as_stranger(python: Path, code: str) -> str:
    done = subprocess.run(
        [python, "-I", "-c", code],
        user=60700,
        group=60700,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def files_in(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob("*") if path.is_file()]


def changeable(folder: Path, users: set[int]) -> list[Path]:
    """Return what lies below a folder and is theirs, or everybody's, to change."""
    found = [folder, *folder.rglob("*")]
    return [
        path
        for path in found
        if path.lstat().st_uid in users
        or (not path.is_symlink() and stat.S_IMODE(path.stat().st_mode) & 0o022)
    ]


async def test_a_build_reaches_nothing_but_its_own(data: Path, packages: Path) -> None:
    wheel = write_wheel(packages, "mlflow", "2.0")
    here = environments(data, packages)
    other = await here.hold(model(data, "other", "mlflow==2.0"), print)
    victim = Path(as_stranger(data, other.python, "import mlflow; print(mlflow.__file__)"))
    cached = files_in(data / "launcher" / "environments" / "packages")
    assert cached
    paths = [str(data / "master-key"), str(data / "modelplane.db"), str(wheel), str(victim)]
    own = "code/hostile-1.0.tar.gz\ncode/mine-1.0-py3-none-any.whl"
    hostile = model(data, "hostile", f"mlflow==2.0\n{own}")
    (hostile / "code").mkdir()
    write_wheel(hostile / "code", "mine")
    backend = f"PATHS = {paths + cached!r}\nFOLDER = {str(data)!r}\n{HOSTILE}"
    write_source(hostile / "code", "hostile", backend)
    said: list[str] = []
    held = await here.hold(hostile, said.append)
    found = eval(as_stranger(data, held.python, "import hostile; print(hostile.found)"))

    assert found["user"] in USERS
    assert found["beside"] == ["launcher", "models"]
    assert as_stranger(data, held.python, "import mine; print(mine.version)") == "1.0"
    for path in (data / "master-key", data / "modelplane.db", victim, *cached):
        read, written = found[str(path)]
        assert read == "FileNotFoundError", path
        assert written in {"FileNotFoundError", "PermissionError"}, path
    # The operator's packages are there to be read.
    assert found[str(wheel)] == ("done", "PermissionError")
    # Whoever runs it can use it, and nobody change it; what the build has started has ended.
    for one in (other, held):
        assert changeable(one.python.parents[2], set(USERS)) == []
        assert as_stranger(data, one.python, "import mlflow; print(mlflow.version)") == "2.0"
    assert not [one for one in seen.look() if one.user in USERS]
    assert any("has to be built" in line for line in said)


async def test_packages_are_compiled_and_shared_but_run_by_none(data: Path, packages: Path) -> None:
    with zipfile.ZipFile(write_wheel(packages, "mlflow", "2.0"), "a") as wheel:
        wheel.writestr("mlflow/tests/test_a.py", "")
    write_wheel(packages, "other")
    here = environments(data, packages)
    first = await here.hold(model(data, "a", "mlflow"), print)
    second = await here.hold(model(data, "b", "mlflow\nother"), print)
    [one], [two] = (
        list(held.python.parents[1].rglob("mlflow/__init__.py")) for held in (first, second)
    )
    # One file, as long as they lie on one disk.
    assert one.stat().st_ino == two.stat().st_ino
    assert list((one.parent / "__pycache__").glob("__init__.*.pyc"))
    # No model runs them.
    assert list(one.parent.glob("tests/*")) == [one.parent / "tests" / "test_a.py"]
    assert one.stat().st_uid == FETCHER
    assert one.parent.stat().st_uid == 0


async def test_nothing_of_a_package_runs_while_it_is_fetched(data: Path, packages: Path) -> None:
    marks = packages.parent / "marks"
    marks.mkdir()
    marks.chmod(0o777)
    with zipfile.ZipFile(write_wheel(packages, "mlflow"), "a") as wheel:
        wheel.writestr("start.pth", f"import os; open({str(marks)!r} + f'/{{os.getuid()}}', 'w')\n")
    held = await environments(data, packages).hold(model(data, "a", "mlflow"), print)
    assert not list(marks.iterdir())
    as_stranger(data, held.python, "")
    assert [path.name for path in marks.iterdir()] == ["60700"]


async def test_a_build_sees_no_other_model(data: Path, packages: Path) -> None:
    """Also where its package is called as a Python, of which more is shown than one file."""
    write_wheel(packages, "mlflow")
    model(data, "other", "mlflow")
    here = model(data, "a", "mlflow\npython_own-1.0.tar.gz")
    backend = f"PATHS = []\nFOLDER = {str(data / 'models')!r}\n{HOSTILE}"
    write_source(here, "python_own", backend.replace("hostile", "python_own"))
    held = await environments(data, packages, OTHER_USERS).hold(here, print)
    found = as_stranger(data, held.python, "import python_own; print(python_own.found['beside'])")
    assert found == "['a']"


async def test_a_uv_that_is_not_for_all_is_copied(
    data: Path, packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_wheel(packages, "mlflow", "2.0")
    hidden = packages.parent / "home" / "uv"
    hidden.parent.mkdir(mode=0o700)
    shutil.copy(uv.find_uv_bin(), hidden)
    monkeypatch.setattr(uv, "find_uv_bin", lambda: str(hidden))
    held = await environments(data, packages).hold(model(data, "a", "mlflow"), print)
    assert as_stranger(data, held.python, "import mlflow; print(mlflow.version)") == "2.0"
    assert not (held.python.parents[2] / "scratch").exists()


async def test_a_model_names_no_file_but_its_own(data: Path, packages: Path) -> None:
    write_wheel(packages, "mlflow")
    secret = write_source(data, "private")
    for line in (str(secret), str(data), f"../../{secret.name}"):
        with pytest.raises(EnvironmentFailed, match=r"not a file of the model|did not come with"):
            await environments(data, packages).hold(model(data, "a", line), print)
    with pytest.raises(EnvironmentFailed):
        await environments(data, packages).hold(
            model(data, "b", f"mlflow\nprivate @ file://{secret}"), print
        )
