"""An environment in which vLLM seems to be installed: its command is `serve` of this folder."""

import shutil
import stat
import sys
from pathlib import Path

_PARTS = ("serve.py", "rules.py", "writing.py")
_PACKAGE = "emulated_vllm"
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
    # Here, since a replica sees no more than its environment.
    server = packages / _PACKAGE
    server.mkdir()
    (server / "__init__.py").touch()
    for part in _PARTS:
        shutil.copy(Path(__file__).with_name(part), server)
    command = programs / "vllm"
    start = f"import sys; sys.path.insert(0, {str(packages)!r}); import {_PACKAGE}.serve as it"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -c "{start}; it.main()" "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return folder
