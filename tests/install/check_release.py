"""Installs what `make release` has built into fresh environments, and starts it.

The wheel as `uv tool install` does it, in the versions of the lock; the source distribution must
build the same files.
"""

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from tests.install.locks import PYPROJECT, ROOT

BIN = Path(sys.executable).parent
VERSION = PYPROJECT["project"]["version"]


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a program to its end; return what it printed."""
    found = subprocess.run(list(map(str, command)), check=True, capture_output=True, cwd=cwd)
    return found.stdout.decode()


def check_source(source: Path, wheel: Path, work: Path) -> None:
    """See that the source distribution builds the same files."""
    run("tar", "-xf", source, "-C", work)
    [unpacked] = work.iterdir()
    run(BIN / "hatchling", "build", "-t", "wheel", "-d", work / "again", cwd=unpacked)
    [again] = (work / "again").glob("*.whl")
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(again) as other:
        assert sorted(one.namelist()) == sorted(other.namelist())


def check_wheel(wheel: Path, work: Path) -> None:
    """Install the wheel into an environment that has nothing else, and serve with it."""
    home = work / "environment"
    run(BIN / "uv", "venv", "--quiet", "--python", sys.executable, home)
    options = ("--quiet", "--python", home / "bin" / "python")
    run(BIN / "uv", "pip", "install", *options, "-c", ROOT / "requirements.lock", wheel)
    command = home / "bin" / "modelplane"
    assert run(command, "version") == f"modelplane {VERSION}\n"
    serve(command, work)


def serve(command: Path, work: Path) -> None:
    """Start a deployment, wait until it says that it serves, and end it."""
    options = ("up", "--port", "0", "--no-hosting", "--data-dir", str(work / "data"))
    with subprocess.Popen(
        [str(command), *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        said = ""
        assert process.stdout
        for line in process.stdout:
            said += line
            if "/serving-endpoints" in line:
                break
        process.terminate()
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said + rest


def main(arguments: Sequence[str]) -> int:
    """Check the files in a directory; return the exit status."""
    [directory] = map(Path, arguments)
    [wheel], [source] = directory.glob("*.whl"), directory.glob("*.tar.gz")
    assert f"-{VERSION}" in wheel.name
    assert f"-{VERSION}" in source.name
    with tempfile.TemporaryDirectory() as work:
        check_source(source.resolve(), wheel, Path(work))
    with tempfile.TemporaryDirectory() as work:
        check_wheel(wheel, Path(work))
    sys.stdout.write(f"{wheel.name} and {source.name} install and start\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
