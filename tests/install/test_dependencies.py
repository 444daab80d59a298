"""What modelplane says it depends on: what its code imports, and what generated code accepts."""

import ast
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

from modelserving.v1 import endpoint_service_pb2, endpoint_service_pb2_grpc
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.install.locks import PYPROJECT, ROOT

PROJECT = PYPROJECT["project"]
NEEDED = {one.name: one for one in map(Requirement, PROJECT["dependencies"])}
EXTRAS = [Requirement(text) for text in chain(*PROJECT["optional-dependencies"].values())]
BUILD = {one.name: one for one in map(Requirement, PYPROJECT["build-system"]["requires"])}
OWN = {
    "adapters",
    "control_plane",
    "data_plane",
    "deploy",
    "launcher",
    "modelplane",
    "modelserving",
}
# Comes with the model, which no deployment needs.
LOCAL_MODEL = {"xllamacpp"}


# What runs in environments of its own, with locks of its own.
ELSEWHERE = (
    ROOT / "launcher" / "converter",
    ROOT / "deploy" / "local" / "custom_model" / "taxi_fares.py",
)


def imported() -> Iterator[tuple[str, Path]]:
    """Return the top-level names that modelplane's code imports, and where."""
    for package in ("adapters", "control_plane", "data_plane", "deploy", "launcher"):
        for path in (ROOT / package).rglob("*.py"):
            if any(map(path.is_relative_to, ELSEWHERE)):
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    yield from ((alias.name.partition(".")[0], path) for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    yield node.module.partition(".")[0], path


def test_every_package_that_the_code_imports_is_declared() -> None:
    declared = {canonicalize_name(name) for name in (*NEEDED, *(one.name for one in EXTRAS))}
    sources = packages_distributions()
    outside = {
        (name, path)
        for name, path in imported()
        if name not in OWN | LOCAL_MODEL | sys.stdlib_module_names
    }
    assert len(outside) > 100
    assert not [
        (name, path)
        for name, path in outside
        if not declared & {canonicalize_name(source) for source in sources.get(name, ())}
    ]


def generated_by() -> tuple[str, str]:
    """Return the versions of protobuf and grpcio that the generated code is for."""
    messages = Path(endpoint_service_pb2.__file__).read_text()
    found = re.search(r"\.PUBLIC,\s+(\d+),\s+(\d+),\s+(\d+),", messages)
    assert found
    return ".".join(found.groups()), endpoint_service_pb2_grpc.GRPC_GENERATED_VERSION


def test_generated_code_is_allowed_no_older_runtime_than_its_generator() -> None:
    protobuf, grpcio = generated_by()
    [lowest] = [one for one in NEEDED["protobuf"].specifier if one.operator == ">="]
    assert lowest.version == protobuf
    assert NEEDED["grpcio"].specifier == Requirement(f"grpcio>={grpcio}").specifier
    # Newer ones would generate code that the bounds above do not know of.
    assert BUILD["grpcio-tools"].specifier == Requirement(f"grpcio-tools=={grpcio}").specifier


def test_generated_code_is_allowed_no_runtime_that_may_refuse_it() -> None:
    major = int(generated_by()[0].partition(".")[0])
    assert NEEDED["protobuf"].specifier.contains(f"{major + 1}.0.0")
    assert not NEEDED["protobuf"].specifier.contains(f"{major + 2}.0.0")


def test_every_requirement_of_a_user_says_from_which_version_on_it_does() -> None:
    for one in (*NEEDED.values(), *EXTRAS, *BUILD.values()):
        assert {">=", "=="} & {specifier.operator for specifier in one.specifier}, one.name
