"""Compile `protos/` into `protos/gen/`: a hatch build hook, and a script to run by hand.

Python modules land in `protos/gen/modelserving`; `protos/gen/modelserving.binpb` is the descriptor
set that Envoy's transcoder and the proto linter read. Generated code is never committed.

Where `mypy-protobuf` is installed, as it is for development, type stubs land beside the modules;
to run modelplane needs none.
"""

import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
OUT = ROOT / "gen"


class ProtoBuildHook(BuildHookInterface[Any]):
    """Generates the code whenever the project is built or installed."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Generate before the files of the wheel are collected."""
        del version, build_data
        compile_protos()


def google_api_root() -> Path:
    """Return the include root that holds `google/api/*.proto`."""
    spec = find_spec("google.api")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("googleapis-common-protos is not installed")
    return Path(next(iter(spec.submodule_search_locations))).parent.parent


def compile_protos() -> None:
    """Replace `protos/gen` by freshly generated code, in one step for whoever imports it."""
    with tempfile.TemporaryDirectory(dir=ROOT) as scratch:
        new, old = Path(scratch) / "new", Path(scratch) / "old"
        new.mkdir()
        _generate(new)
        if OUT.exists():
            OUT.rename(old)
        new.rename(OUT)


def _generate(out: Path) -> None:
    protos = sorted(path.relative_to(ROOT) for path in (ROOT / "modelserving").rglob("*.proto"))
    # A grpc module for a file without services would be empty, so only services get one.
    services = [str(path) for path in protos if path.stem.endswith("_service")]
    _protoc(
        f"--python_out={out}",
        f"--descriptor_set_out={out / 'modelserving.binpb'}",
        "--include_imports",
        "--include_source_info",
        *map(str, protos),
    )
    _protoc(f"--grpc_python_out={out}", *services)
    stubs = _stub_plugins()
    if stubs:
        _protoc(*stubs, f"--mypy_out=quiet:{out}", *map(str, protos))
        _protoc(*stubs, f"--mypy_grpc_out=quiet:{out}", *services)
    for path in protos:
        # Clients in other languages are generated from them.
        (out / path).write_bytes((ROOT / path).read_bytes())
    for package in [out / "modelserving", *(out / "modelserving").rglob("*/")]:
        if package.is_dir() and package.name != "__pycache__":
            (package / "__init__.py").touch()
            (package / "py.typed").touch()


def _stub_plugins() -> list[str]:
    """Return the options that name the generators of type stubs; none where they are missing."""
    try:
        installed = files("mypy-protobuf") or []
    except PackageNotFoundError:
        return []
    # Scripts are where the installer put them, which need not be where this Python is.
    programs = {path.name: path.locate() for path in installed}
    names = ("protoc-gen-mypy", "protoc-gen-mypy_grpc")
    return [f"--plugin={name}={programs[name]}" for name in names if name in programs]


def _protoc(*arguments: str) -> None:
    includes = (f"--proto_path={ROOT}", f"--proto_path={google_api_root()}")
    command = (sys.executable, "-m", "grpc_tools.protoc", *includes, *arguments)
    if subprocess.run(command, check=False).returncode:
        sys.exit("protoc cannot compile the protos; what it says stands above")


if __name__ == "__main__":
    compile_protos()
