"""Environments built by the real uv, of packages that lie on the disk."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modelplane.launcher.environments.cache import Environments, Options
from modelplane.launcher.environments.failures import EnvironmentFailed
from modelplane.launcher.environments.packages import Packages
from tests.launcher.environments.packages import (
    write_broken,
    write_model,
    write_source,
    write_wheel,
)


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """Give an index with versions of something called mlflow."""
    folder = tmp_path / "packages"
    folder.mkdir()
    write_wheel(folder, "mlflow", "2.0")
    write_wheel(folder, "mlflow", "3.0")
    return folder


def _environments(packages: Path, **options: Any) -> Environments:
    environ = {
        "PATH": os.defpath,
        "UV_FIND_LINKS": str(packages),
        "UV_NO_INDEX": "1",
        "MODELPLANE_ROOT_TOKEN": "not-for-builds",
        "AWS_SECRET_ACCESS_KEY": "not-for-builds",
    }
    chosen = Options(environ, **{"build_seconds": 300.0, **options})
    return Environments(packages.parent / "environments", chosen)


def _model(packages: Path, name: str, requirements: str) -> Path:
    return write_model(packages.parent / "models" / name, {"requirements.txt": requirements})


def _run(python: Path, code: str) -> str:
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


async def test_an_environment_holds_what_the_model_asks_for(packages: Path) -> None:
    said: list[str] = []
    held = await _environments(packages).hold(_model(packages, "a", "mlflow==2.0"), said.append)
    assert _run(held.python, "import mlflow; print(mlflow.version)") == "2.0"
    assert "  mlflow==2.0" in said
    assert any("+ mlflow==2.0" in line for line in said), said
    held.release()


async def test_models_with_equal_requirements_share_one(packages: Path) -> None:
    environments = _environments(packages)
    one = await environments.hold(_model(packages, "a", "mlflow==2.0  # pinned\n\npip\n"), print)
    said: list[str] = []
    two = await environments.hold(_model(packages, "b", "mlflow==2.0"), said.append)
    other = await environments.hold(_model(packages, "c", "mlflow==3.0"), print)
    assert one.python == two.python != other.python
    assert len(said) == 1
    assert "there already" in said[0]
    # Also after a restart.
    again = await _environments(packages).hold(_model(packages, "d", "mlflow==2.0"), print)
    assert again.python == one.python


async def test_an_environment_that_many_ask_for_is_built_once(packages: Path) -> None:
    model = _model(packages, "a", "mlflow==2.0")
    said: list[list[str]] = [[] for _ in range(4)]
    # Two launchers, as when one takes the place of another.
    launchers = [_environments(packages), _environments(packages)]
    held = await asyncio.gather(
        *(launchers[number % 2].hold(model, lines.append) for number, lines in enumerate(said))
    )
    assert len({each.python for each in held}) == 1
    assert sum(any("Creating virtual" in line for line in lines) for lines in said) == 1
    assert sum(any("under way" in line for line in lines) for lines in said) == 3


async def test_a_wheel_may_come_with_the_model(packages: Path) -> None:
    environments = _environments(packages)
    model = _model(packages, "a", "mlflow==2.0\ncode/own-1.0-py3-none-any.whl")
    (model / "code").mkdir()
    write_wheel(model / "code", "own")
    first = await environments.hold(model, print)
    assert _run(first.python, "import own; print(own.version)") == "1.0"
    # Another content under the same name is another environment.
    (model / "code" / "own-1.0-py3-none-any.whl").unlink()
    write_wheel(model / "code", "own", needs="mlflow")
    assert (await environments.hold(model, print)).python != first.python


async def test_mlflow_is_there_even_if_nobody_asked_for_it(packages: Path) -> None:
    write_wheel(packages, "mlflow_skinny", "2.0")
    environments = _environments(packages)
    said: list[str] = []
    skinny = await environments.hold(_model(packages, "a", "mlflow-skinny==2.0"), said.append)
    assert _run(skinny.python, "import mlflow; print(mlflow.version)") == "2.0"
    assert "mlflow==2.0 is installed too" in said[0]
    newest = await environments.hold(_model(packages, "b", "mlflow_skinny>=2\nmlflow"), print)
    assert _run(newest.python, "import mlflow; print(mlflow.version)") == "3.0"


async def test_a_failed_build_says_why_and_leaves_nothing(packages: Path) -> None:
    environments = _environments(packages)
    with pytest.raises(EnvironmentFailed, match=r"no version of mlflow==9\.9"):
        await environments.hold(_model(packages, "a", "mlflow==9.9"), print)
    left = {path.name.partition(".")[2] for path in (packages.parent / "environments").iterdir()}
    assert left <= {"lock", ""}
    assert not list((packages.parent / "environments").glob("*.partial-*"))
    # And is tried anew when it is asked for again.
    write_wheel(packages, "mlflow", "9.9")
    held = await environments.hold(_model(packages, "a", "mlflow==9.9"), print)
    assert held.python.exists()


async def test_a_build_has_an_end(packages: Path) -> None:
    write_source(packages, "endless", "import time; time.sleep(600)")
    environments = _environments(packages, build_seconds=3.0)
    with pytest.raises(EnvironmentFailed, match="not done within 3 seconds"):
        await environments.hold(_model(packages, "a", "mlflow\nendless"), print)


async def test_a_build_knows_no_secret_of_the_deployment(packages: Path) -> None:
    write_source(packages, "curious")
    held = await _environments(packages).hold(_model(packages, "a", "mlflow\ncurious"), print)
    seen = _run(held.python, "import curious; print(curious.seen)")
    assert "UV_CACHE_DIR" in seen
    assert _run(held.python, "import curious; print(curious.limit)") == str(16 << 30)
    assert "not-for-builds" not in seen
    assert str(Path.home()) + "'" not in seen


async def test_the_log_of_a_build_has_no_endless_line_and_no_credential(packages: Path) -> None:
    loud = "https://me:secret@index.test/" + 50_000 * "x"
    write_source(packages, "loud", f"import sys\nprint({loud!r})\nsys.exit(1)")
    said: list[str] = []
    with pytest.raises(EnvironmentFailed):
        await _environments(packages).hold(_model(packages, "a", "mlflow\nloud"), said.append)
    assert max(len(line) for line in said) == 2000
    assert any("@index.test" in line for line in said)
    assert not any("secret" in line for line in said)


async def test_what_replicas_import_is_compiled(packages: Path) -> None:
    held = await _environments(packages).hold(_model(packages, "a", "mlflow==2.0"), print)
    installed = next(held.python.parents[1].glob("lib/python3*/site-packages/mlflow"))
    assert list(installed.glob("__pycache__/pyfunc.*.pyc"))


async def test_what_cannot_be_imported_is_installed(packages: Path) -> None:
    """Nothing is imported to find out; the model's replicas tell."""
    write_broken(packages, "mlflow", "5.0")
    held = await _environments(packages).hold(_model(packages, "a", "mlflow==5.0"), print)
    with pytest.raises(subprocess.CalledProcessError) as failed:
        _run(held.python, "import mlflow")
    assert "ImportError: no luck" in failed.value.stderr


async def test_only_what_nobody_holds_is_dropped(packages: Path) -> None:
    environments = _environments(packages, most=1)
    write_wheel(packages, "mlflow", "4.0")
    held = await environments.hold(_model(packages, "a", "mlflow==2.0"), print)
    free = await environments.hold(_model(packages, "b", "mlflow==3.0"), print)
    free.release()
    newest = await environments.hold(_model(packages, "c", "mlflow==4.0"), print)
    assert held.python.exists()
    assert newest.python.exists()
    assert not free.python.exists()


async def test_packages_are_dropped_when_they_take_too_much_and_environments_stay(
    packages: Path,
) -> None:
    environments = _environments(packages, package_bytes=1)
    said: list[str] = []
    held = await environments.hold(_model(packages, "a", "mlflow==2.0"), said.append)
    assert said[-1] == "The packages that were fetched took too much room, and are dropped."
    assert not list((packages.parent / "environments").glob("packages*[!k]"))
    assert _run(held.python, "import mlflow; print(mlflow.version)") == "2.0"


def test_packages_that_a_build_uses_stay(tmp_path: Path) -> None:
    kept = Packages(tmp_path, 0)
    with kept.used() as folder:
        (folder / "wheel").write_text("x")
        assert not kept.drop_excess()
        assert (folder / "wheel").exists()
    assert kept.drop_excess()
    assert not folder.exists()


async def test_pythons_that_the_operator_names_come_first(packages: Path, tmp_path: Path) -> None:
    (own := tmp_path / "pythons").mkdir()
    minor = ".".join(map(str, sys.version_info[:2]))
    (own / f"python{minor}").symlink_to(sys.executable)
    environments = _environments(packages, pythons=(own,))
    held = await environments.hold(_model(packages, "a", "mlflow==2.0"), print)
    configured = (held.python.parents[1] / "pyvenv.cfg").read_text()
    assert f"home = {own}" in configured


async def test_a_python_that_is_not_there_is_named(packages: Path) -> None:
    model = _model(packages, "a", "mlflow==2.0")
    (model / "python_env.yaml").write_text("python: 3.2.1\ndependencies: [-r requirements.txt]\n")
    with pytest.raises(
        EnvironmentFailed, match=r"needs Python 3\.2, which is not .* there are 3\."
    ):
        await _environments(packages).hold(model, print)
