"""What this codebase promises about itself: sizes, names and layers; `tests/docs`: true pages."""

import ast
import re
from pathlib import Path
from types import ModuleType

import pytest
from google.api import annotations_pb2
from modelserving.worker.v1 import snapshot_service_pb2

from modelplane.adapters.providers.registry import FACTORIES
from modelplane.control_plane import errors as control_plane_errors
from modelplane.data_plane import errors as data_plane_errors

ROOT = Path(__file__).parent.parent
PACKAGES = ("adapters", "control_plane", "data_plane", "deploy", "launcher", "bench")
SOURCES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50
# Of `tests/`: what is of no single package. Folders below mirror nothing, either.
WHOLE_SYSTEM = {
    "clients",  # Of others, against a deployment.
    "docs",  # What the pages promise.
    "e2e",  # All parts together.
    "emulators",  # Of providers and services.
    "faults",  # Parts that die under a running deployment.
    "hostile",  # Attacks on a deployment.
    "hosting",  # Both planes, launcher and models together.
    "install",  # The installer and the build.
    "limits",  # Of workers and control plane together.
    "protos",  # The messages of all planes.
    "requirements",  # The product's, against a deployment.
    "ui",  # The pages, with a browser.
}
# Below a package, but of no module: why.
OTHER_FOLDERS = {
    "control_plane/before_release": "schemas that no module makes any longer",
    "deploy/chart": "templates, which are no Python",
    "deploy/image": "what `manifests` builds",
}
BANNED_MODULE_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "misc", "handler"}


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_FILE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= MAX_FUNCTION_LINES, f"{node.name} has {lines} lines"


def test_no_module_is_a_grab_bag() -> None:
    assert not [relative(path) for path in SOURCES if path.stem in BANNED_MODULE_NAMES]


def test_the_folders_of_tests_are_those_of_the_modules() -> None:
    tests = ROOT / "tests"
    folders = {path.parent.relative_to(tests) for path in tests.rglob("*.py")} - {Path()}
    assert {folder.parts[0] for folder in folders} == {*PACKAGES} | WHOLE_SYSTEM
    modules = {path.parent.relative_to(ROOT) for path in SOURCES}
    strays = {
        str(folder)
        for folder in folders - modules
        if folder.parts[0] in PACKAGES and "__pycache__" not in folder.parts
    }
    assert strays == {*OTHER_FOLDERS}


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_no_variable_keeps_what_it_raises(path: Path) -> None:
    """An error has the frames that it passed, and a frame its variables.

    Where one has the other, both stay, with all that a call held, until garbage is collected; say
    `try: raise error`, `finally: del error`.
    """
    for function in ast.walk(ast.parse(path.read_text())):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        nodes = [*ast.walk(function)]
        stored = {
            node.id
            for node in nodes
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        let_go = {
            id(statement): {
                target.id
                for last in node.finalbody
                if isinstance(last, ast.Delete)
                for target in last.targets
                if isinstance(target, ast.Name)
            }
            for node in nodes
            if isinstance(node, ast.Try)
            for statement in node.body
        }
        for node in nodes:
            if isinstance(node, ast.Raise) and (name := _variable(node.exc)) in stored:
                assert name in let_go.get(id(node), ()), f"{function.name}, line {node.lineno}"


def _variable(raised: ast.expr | None) -> str:
    """Return the variable that is raised, perhaps after a method that returns itself; or none."""
    if isinstance(raised, ast.Call) and isinstance(raised.func, ast.Attribute):
        raised = raised.func.value if raised.func.attr == "conceal" else None
    return raised.id if isinstance(raised, ast.Name) else ""


@pytest.mark.parametrize("provider", sorted(FACTORIES))
def test_a_provider_lives_in_its_own_place_and_the_registry(provider: str) -> None:
    module = provider.replace("-", "_")
    # `deploy` and `bench` are callers of the API and name what they register; a provider that
    # hosts the models of others names their families. Words of the APIs that clients speak are
    # also those of their makers.
    spread = {
        relative(path)
        for path in SOURCES
        if path.relative_to(ROOT).parts[0] not in {"deploy", "bench"}
        and not path.is_relative_to(ROOT / "data_plane" / "protocols")
        and _provider_of(path) in {None, module}
        and re.search(rf"['\"]({provider}|{module}_config)['\"]", path.read_text())
    }
    own = {relative(path) for path in SOURCES if _provider_of(path) == module}
    assert own
    assert spread - own <= {"adapters/providers/registry.py"}, spread


def _provider_of(path: Path) -> str | None:
    """Return the provider whose package or single module a file belongs to."""
    names = {name.replace("-", "_") for name in FACTORIES}
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[2] if parts[:2] == ("adapters", "providers") and parts[2] in names else None


def test_the_watch_service_has_no_rest_route() -> None:
    for service in snapshot_service_pb2.DESCRIPTOR.services_by_name.values():
        for method in service.methods:
            assert not method.GetOptions().HasExtension(annotations_pb2.http)


def _is_error_of(module: ModuleType, value: object) -> bool:
    return (
        isinstance(value, type)
        and issubclass(value, Exception)
        and value.__module__ == module.__name__
    )


@pytest.mark.parametrize("module", [control_plane_errors, data_plane_errors])
def test_every_domain_error_has_a_status(module: ModuleType) -> None:
    table = vars(module)["STATUS_TABLE"]
    base = {"ControlPlaneError", "DataPlaneError"}
    own = {name: value for name, value in vars(module).items() if _is_error_of(module, value)}
    for name, value in own.items():
        if name not in base:
            assert table.status_of(value.__new__(value)) is not None, name


def test_nothing_committed_names_a_registry_or_a_machine() -> None:
    # Split, so that this file does not name them either.
    forbidden = ("py" + "pi.org", "python" + "hosted.org", "registry.npm" + "js", "/work" + "/")
    pins = [
        *ROOT.glob("*.lock"),
        *ROOT.glob("bench/*/requirements*"),
        *ROOT.glob("bench/peers/[!_]*/*"),
    ]
    others = [ROOT / name for name in ("README.md", "Makefile", "install.py", ".ci/run")]
    pages = sorted((ROOT / "docs").rglob("*.md"))
    for path in (*SOURCES, *others, *pages, *(path for path in pins if path.is_file())):
        text = path.read_text()
        assert not [name for name in forbidden if name in text], relative(path)
