"""What a model asks for: its Python and its packages, read from the files that MLflow wrote.

The one named python_env is asked first, with `requirements.txt`; then that of conda, of which only
the part for pip can be had; then `requirements.txt` alone.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from modelplane.launcher.environments.failures import EnvironmentFailed

_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[^\]]*\])?\s*(.*)", re.DOTALL)
_FILE_OPTION = re.compile(r"(-r|--requirement|-c|--constraint)[ =]?\s*(\S+)")
_VERSION = re.compile(r"(\d+)\.(\d+)")
_MOST_BYTES = 1 << 20
_DEEPEST = 5
# What every environment has anyway, or has no use for.
_CONDA_OWN = {"python", "pip", "setuptools", "wheel"}
_INSTALLERS = {"pip", "setuptools", "wheel"}
_HASH = " --hash="
# With these, MLflow's small package serves Python functions.
_BESIDE_SKINNY = {"numpy", "pandas"}


@dataclass(frozen=True, slots=True)
class Requested:
    """What a model asks for.

    Attributes:
        python: The Python's minor version, as `3.11`; empty: any.
        packages: Lines of a requirements file, in order.
        constraints: Lines of a constraints file.
        notes: What its owner should know, for the log.
        digest: Of all of it, and of the files that it names.
    """

    python: str
    packages: Sequence[str]
    constraints: Sequence[str]
    notes: Sequence[str]
    digest: str


def read_requested(model: Path) -> Requested:
    """Return what the model in a directory asks for.

    Raises:
        EnvironmentFailed: Its files cannot be read, or ask for what cannot be had.
    """
    notes: list[str] = []
    python, lines = _read_files(model, notes)
    packages: list[str] = []
    constraints: list[str] = []
    for kind, line in _expanded(model, lines, 0):
        (constraints if kind == "c" else packages).append(line)
    packages = _with_mlflow(_in_order(packages), notes)
    constraints = _in_order(constraints)
    digest = hashlib.sha256(repr((packages, constraints)).encode())
    for line in packages:
        if line.startswith("/"):
            digest.update(Path(line).read_bytes())
    return Requested(python, packages, constraints, notes, digest.hexdigest())


def read_locked(lock: Path) -> Requested:
    """Return what a file of our own pins by hashes, for any Python."""
    packages = _in_order(lock.read_text().replace("\\\n", " ").splitlines())
    digest = hashlib.sha256(repr(packages).encode()).hexdigest()
    return Requested("", packages, (), (), digest)


def _read_files(model: Path, notes: list[str]) -> tuple[str, Sequence[str]]:
    described = _yaml(model / "MLmodel")
    if (model / "python_env.yaml").is_file():
        asked = _yaml(model / "python_env.yaml")
        return _minor(asked.get("python")), _texts(asked.get("dependencies"))
    if (model / "conda.yaml").is_file():
        return _read_conda(_yaml(model / "conda.yaml"), notes)
    flavors = described.get("flavors")
    flavor = flavors.get("python_function") if isinstance(flavors, dict) else None
    python = _minor(flavor.get("python_version")) if isinstance(flavor, dict) else ""
    if (model / "requirements.txt").is_file():
        return python, ["-r requirements.txt"]
    raise EnvironmentFailed(
        "The model does not say which packages it needs: it has no requirements.txt, no "
        "python_env.yaml and no conda.yaml. Log it with pip_requirements."
    )


def _read_conda(asked: Mapping[str, object], notes: list[str]) -> tuple[str, Sequence[str]]:
    python, lines, others = "", [], []
    entries = asked.get("dependencies")
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict):
            lines += _texts(entry.get("pip"))
        if not isinstance(entry, str):
            continue
        name, _, version = entry.partition("=")
        name = re.split(r"[<>!~ ]", name)[0].rpartition("::")[2]
        if name == "python":
            python = _minor(version)
        elif name not in _CONDA_OWN:
            others.append(entry)
    if others:
        notes.append(
            "Packages of conda are not installed, only those of pip: the model goes without "
            f"{', '.join(others)}."
        )
    return python, lines


# What stands for a number or a date stays a text, such as Python 3.10: some that fit into a file
# take minutes to be made into one.
_LOADER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


def _yaml(path: Path) -> Mapping[str, object]:
    try:
        text = _text(path) if path.is_file() else ""
        value = yaml.load(text, Loader=_LOADER)  # noqa: S506 - makes texts, lists and mappings
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise EnvironmentFailed(f"The model's {path.name} is not valid YAML.") from error
    return value if isinstance(value, dict) else {}


def _text(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise EnvironmentFailed(f"The model's {path.name} is too large.")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise EnvironmentFailed(f"The model's {path.name} is not UTF-8.") from error


def _texts(value: object) -> list[str]:
    # What is no text may be larger, written out, than any memory: aliases repeat it.
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _minor(value: object) -> str:
    found = _VERSION.search(value) if isinstance(value, str) else None
    return f"{found[1]}.{found[2]}" if found else ""


def _expanded(model: Path, lines: Sequence[str], depth: int) -> Iterator[tuple[str, str]]:
    """Return all lines, those of files that they name in their place; `c` marks constraints."""
    if depth > _DEEPEST:
        raise EnvironmentFailed("The model's requirements files name each other without end.")
    for line in lines:
        text = re.sub(r"(^|\s)#.*$", "", line).strip()
        if found := _FILE_OPTION.fullmatch(text):
            inner = _text(_inside(model, found[2])).replace("\\\n", " ").splitlines()
            kind = "c" if "c" in found[1].partition("-req")[0] else "r"
            for below, each in _expanded(model, inner, depth + 1):
                yield ("c" if kind == "c" else below), each
        elif text:
            yield "r", _absolute(model, " ".join(text.split()))


def _absolute(model: Path, line: str) -> str:
    """Return a line, with the place of a package that comes with the model."""
    if line.startswith(("-e", "--editable")):
        raise EnvironmentFailed(
            f"The requirement {line!r} is the folder of a project on the machine of its author: "
            "build a wheel of it and log that with the model."
        )
    is_file = line.endswith((".whl", ".tar.gz")) and "://" not in line and " @ " not in line
    if is_file or line.startswith(("/", ".")):
        return str(_inside(model, line))
    return line


def _inside(model: Path, name: str) -> Path:
    path = (model / name).resolve()
    if not path.is_relative_to(model.resolve()):
        raise EnvironmentFailed(f"The requirements name {name}, which is not a file of the model.")
    if not path.is_file():
        raise EnvironmentFailed(
            f"The requirements name {name}, which did not come with the model: its files are those "
            "that were logged, such as code/NAME.whl."
        )
    return path


def _name_of(line: str) -> str:
    found = _NAME.match(line)
    return re.sub(r"[-_.]+", "-", found[1]).lower() if found else ""


def _in_order(lines: Sequence[str]) -> list[str]:
    """Return lines so that those of equal models are equal: options first, in the order given."""
    options = [line for line in lines if line.startswith("-")]
    others = sorted({line for line in lines if not line.startswith("-")}, key=str.lower)
    # One that another line only adds hashes to says nothing more.
    hashed = {line.partition(_HASH)[0] for line in others if _HASH in line}
    others = [line for line in others if line not in hashed]
    return [*options, *(line for line in others if _name_of(line) not in _INSTALLERS)]


def _with_mlflow(lines: list[str], notes: list[str]) -> list[str]:
    names = {_name_of(line): line for line in lines}
    if "mlflow" in names:
        return lines
    if {"mlflow-skinny", *_BESIDE_SKINNY} <= names.keys():
        return lines
    if "mlflow-skinny" in names:
        found = _NAME.match(names["mlflow-skinny"])
        pin = found[3].partition(_HASH)[0] if found else ""
        notes.append(
            "mlflow-skinny cannot serve a model without numpy and pandas: "
            f"mlflow{pin} is installed too."
        )
        return [*lines, f"mlflow{pin}"]
    notes.append("The model pins no version of mlflow: the newest one is installed.")
    return [*lines, "mlflow"]
