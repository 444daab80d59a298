"""Language models that real transformers logs: an environment with PyTorch, made once and kept.

Made by pip, which may know where builds of PyTorch for processors are; others are several GB.
"""

import hashlib
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from tests.hosting.models.cache import CACHE, locked

REQUIREMENTS = ("torch==2.13.0", "transformers==5.19.0", "accelerate", "mlflow==3.17.2")


def transformers_python() -> Path:
    """Return the Python of the environment."""
    made_from = (*REQUIREMENTS, sys.version, platform.platform())
    digest = hashlib.sha256("\0".join(made_from).encode()).hexdigest()[:16]
    folder = CACHE / f"transformers-{digest}"
    python = folder / "environment" / "bin" / "python"
    with locked(folder):
        if not (folder / "whole").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            _run(sys.executable, "-m", "venv", str(python.parents[1]))
            _run(str(python), "-m", "pip", "install", "-q", *REQUIREMENTS)
            _note_torchvision(python)
            (folder / "whole").touch()
    return python


def _note_torchvision(python: Path) -> None:
    """Let MLflow find a version of torchvision, which it notes for models without images, too."""
    [packages] = python.parents[1].glob("lib/python3*/site-packages")
    noted = packages / "torchvision-0.28.0.dist-info"
    noted.mkdir()
    (noted / "METADATA").write_text("Metadata-Version: 2.1\nName: torchvision\nVersion: 0.28.0\n")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
