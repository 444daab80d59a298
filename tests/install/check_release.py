"""Installs what `make release` has built into fresh environments, and starts it.

The wheel by `uv tool install` in the versions of the lock, where it answers by the local model; the
source distribution must build the same files. A release has a section in the changelog.
"""

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from modelplane.adapters.shared.settings import environment
from tests.install.locks import RELEASE, ROOT

BIN = Path(sys.executable).parent


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
    """Install the wheel as a tool, and have a model answer with it."""
    places = {"UV_TOOL_DIR": str(work / "tools"), "UV_TOOL_BIN_DIR": str(work / "bin")}
    options = ("--quiet", "--python", sys.executable, "-c", ROOT / "requirements.lock")
    install = [str(BIN / "uv"), "tool", "install", *map(str, options), str(wheel)]
    subprocess.run(install, check=True, env={**environment(), **places})
    command = work / "bin" / "modelplane"
    assert run(command, "version") == f"modelplane {version_of(wheel)}\n"
    serve(command, work)


def serve(command: Path, work: Path) -> None:
    """Start a deployment, wait until it says that its model has answered, and end it."""
    options = ("up", "--port", "0", "--local-model", "--data-dir", str(work / "data"))
    with subprocess.Popen(
        [str(command), *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        said = ""
        assert process.stdout
        for line in process.stdout:
            said += line
            if "gave its first answer" in line:
                break
        process.terminate()
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said + rest
    assert "gave its first answer" in said


def version_of(wheel: Path) -> str:
    """Return the version in a wheel's name."""
    return wheel.name.split("-")[1]


def check_changelog(version: str, changelog: str) -> None:
    """See that a release is told of, and that nothing is told of none."""
    if "dev" in version:
        return
    heading, _, told = changelog.partition(f"## {version} - ")
    assert told, f"CHANGELOG.md has no section '## {version} - YEAR-MONTH-DAY'"
    assert heading.rstrip().endswith("## Unreleased"), "what is unreleased belongs to the release"


def main(arguments: Sequence[str]) -> int:
    """Check the files in a directory; return the exit status."""
    [directory] = map(Path, arguments)
    [wheel], [source] = directory.glob("*.whl"), directory.glob("*.tar.gz")
    version = version_of(wheel)
    assert version.startswith(RELEASE["NEXT"])
    assert source.name == f"modelplane-{version}.tar.gz"
    assert (directory / f"modelplane-protos-{version}.zip").exists()
    check_changelog(version, (ROOT / "CHANGELOG.md").read_text())
    with tempfile.TemporaryDirectory() as work:
        check_source(source.resolve(), wheel, Path(work))
    with tempfile.TemporaryDirectory() as work:
        check_wheel(wheel.resolve(), Path(work))
    sys.stdout.write(f"{wheel.name} and {source.name} install and start\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
