"""An environment in which vLLM seems to be installed: its command is `serve.py` of this folder."""

import stat
import sys
from pathlib import Path

_SERVE = Path(__file__).with_name("serve.py")
VERSION = "0.32.0"


def install(folder: Path, name: str = f"vllm-{VERSION}") -> Path:
    """Make an environment, and return its folder.

    Args:
        folder: Where.
        name: Of the package, with its version, as its metadata has it.
    """
    packages = folder / "lib" / "python3.11" / "site-packages"
    (packages / f"{name}.dist-info").mkdir(parents=True)
    programs = folder / "bin"
    programs.mkdir()
    (programs / "python").symlink_to(sys.executable)
    command = programs / "vllm"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I "{_SERVE}" "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return folder
