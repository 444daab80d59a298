"""Environments with MLflow 2 and 3, and the models that `save.py` saves in each: made once, kept.

What is kept lies in the user's cache directory, by a digest of all it was made from, and is shared
by all runs of the tests and all checkouts.
"""

import contextlib
import fcntl
import hashlib
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import uv

SAVE = Path(__file__).with_name("save.py")
# The last of MLflow 2 that many registries still hold models of, and one of MLflow 3.
REQUIREMENTS = {
    # Its own server does not start with a newer FastAPI; ours does not need one.
    "2": ("mlflow==2.22.0", "scikit-learn", "fastapi<0.116"),
    "3": ("mlflow==3.17.2", "scikit-learn"),
}
_BUILDER = Path(__file__).parents[3] / "launcher" / "environments"
CACHE = Path.home() / ".cache" / "modelplane-tests"


@dataclass(frozen=True, slots=True)
class Saved:
    """The models of one MLflow, and the environment that they were saved in."""

    python: Path
    folder: Path

    def model(self, name: str) -> Path:
        """Return the folder of a model."""
        path = self.folder / name
        assert (path / "MLmodel").is_file(), name
        return path


def saved(version: str) -> Saved:
    """Return the models of MLflow "2" or "3", making them where they are not there yet."""
    requirements = REQUIREMENTS[version]
    made_from = (*requirements, sys.version, platform.platform(), SAVE.read_text())
    digest = hashlib.sha256("\0".join(made_from).encode()).hexdigest()[:16]
    folder = CACHE / f"mlflow-{version}-{digest}"
    result = Saved(folder / "environment" / "bin" / "python", folder / "models")
    with locked(folder):
        if not (folder / "whole").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            _make(result, requirements)
            (folder / "whole").touch()
    return result


def keep_environments(data_dir: Path) -> None:
    """Let a deployment find the environments that those before it have built in the same way.

    What has changed in how they are built shows at the next run, and not only in an empty cache.
    """
    code = b"".join(file.read_bytes() for file in sorted(_BUILDER.glob("*.py")))
    kept = CACHE / f"environments-{hashlib.sha256(code).hexdigest()[:16]}"
    kept.mkdir(parents=True, exist_ok=True)
    (data_dir / "launcher").mkdir(parents=True)
    (data_dir / "launcher" / "environments").symlink_to(kept)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let nobody else make the same meanwhile."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(result: Saved, requirements: tuple[str, ...]) -> None:
    command = uv.find_uv_bin()
    python = str(result.python)
    environment = str(result.python.parents[1])
    result.folder.mkdir()
    _run(result.folder, command, "venv", "--no-project", "--python", sys.executable, environment)
    _run(result.folder, command, "pip", "install", "--python", python, *requirements)
    _run(result.folder, python, "-W", "ignore", str(SAVE), str(result.folder))


def _run(folder: Path, *command: str) -> None:
    # MLflow writes its own things where it runs.
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
