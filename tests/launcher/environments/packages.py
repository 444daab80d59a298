"""Tiny packages on the disk, so that environments are built in a moment and without a network."""

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

_WHEEL = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_BACKEND = """
import os, resource, zipfile

def build_wheel(folder, settings=None, metadata=None):
    name = "NAME-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        wheel.writestr("NAME.py", f"seen = {dict(os.environ)!r}\\n"
            f"limit = {resource.getrlimit(resource.RLIMIT_FSIZE)[0]}")
        wheel.writestr("NAME-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: NAME\\nVersion: 1.0\\n")
        wheel.writestr("NAME-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("NAME-1.0.dist-info/RECORD", "")
    return name
"""  # noqa: E501


def write_broken(folder: Path, name: str, version: str) -> Path:
    """Write a wheel whose module cannot be imported."""
    return write_wheel(folder, name, version, code="raise ImportError('no luck')\n")


def write_wheel(
    folder: Path, name: str, version: str = "1.0", needs: str = "", code: str = ""
) -> Path:
    """Write a wheel with one package, and return its path."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += f"Requires-Dist: {needs}\n" if needs else ""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}/__init__.py", f"version = {version!r}\n{code}")
        wheel.writestr(f"{name}/pyfunc.py", "")
        wheel.writestr(f"{info}/METADATA", metadata)
        wheel.writestr(f"{info}/WHEEL", _WHEEL)
        wheel.writestr(f"{info}/RECORD", "")
    return path


def write_source(folder: Path, name: str, backend: str = _BACKEND) -> Path:
    """Write a package that has to be built; its module tells what its build saw."""
    project = '[build-system]\nrequires = []\nbuild-backend = "own"\nbackend-path = ["."]\n'
    files = {
        "pyproject.toml": f'{project}[project]\nname = "{name}"\nversion = "1.0"\n',
        "own.py": backend.replace("NAME", name),
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
    }
    path = folder / f"{name}-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for inner, text in files.items():
            entry = tarfile.TarInfo(f"{name}-1.0/{inner}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return path


def write_model(folder: Path, files: Mapping[str, str]) -> Path:
    """Write a model's directory."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "MLmodel").write_text("flavors: {python_function: {loader_module: x}}\n")
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder
