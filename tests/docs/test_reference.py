"""What the pages list is all there is, and nothing else: routes, providers, settings, metrics."""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import Field, fields
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from google.api import annotations_pb2
from modelserving.v1 import model_service_pb2

from modelplane.adapters.providers import errors as provider_errors
from modelplane.adapters.providers.base import Adapter
from modelplane.adapters.providers.errors import RequestRefused
from modelplane.adapters.providers.registry import FACTORIES, build_adapter
from modelplane.adapters.providers.types import Image, JsonObject, Query, Task
from modelplane.adapters.shared.rpc.status import INTERNAL
from modelplane.adapters.shared.settings import variable_name
from modelplane.control_plane import errors as control_plane_errors
from modelplane.control_plane.settings import Settings as ControlPlaneSettings
from modelplane.data_plane import errors as data_plane_errors
from modelplane.data_plane.settings import Settings as WorkerSettings
from modelplane.data_plane.tables.settings import WriterSettings
from modelplane.deploy.command.api.failures import Status
from modelplane.deploy.command.api.verbs import Noun
from modelplane.deploy.command.cli import COMMANDS
from modelplane.launcher.settings import Settings as LauncherSettings
from tests.adapters.providers.conformance import cases_of
from tests.docs.blocks import README, ROOT
from tests.e2e.permission_routes import public_methods, routes_of

DOCS = ROOT / "docs"
CODE = ("adapters", "control_plane", "data_plane", "deploy", "launcher")
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
MAX_README_LINES = 200


def rows_of(page: Path, heading: str = "") -> Iterator[list[str]]:
    """Yield the cells of each row of the tables of a page, or of one of its sections."""
    text = page.read_text()
    if heading:
        text = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    for line in text.splitlines():
        if line.startswith("| "):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def spans_of(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_the_readme_stays_short() -> None:
    assert len(README.read_text().splitlines()) <= MAX_README_LINES


def test_the_api_page_has_every_route_beside_its_rpc() -> None:
    listed = {
        (cells[0].split("`")[1], re.split(r"\W", cells[1])[0])
        for cells in rows_of(DOCS / "api.md", "Routes")
        if re.match(r"`[A-Z]+ /", cells[0])
    }
    # Envoy answers them without a plane.
    listed -= {("GET /health", "200"), ("GET /.well-known/databricks-config", "where")}
    there = {
        (f"{route.verb} {route.path}", method.name)
        for method in public_methods()
        for route in routes_of(method, streams=False)
        if route.verb
    }
    assert listed == there


def test_the_api_page_says_which_route_each_typed_rpc_equals() -> None:
    listed = {cells[0] for cells in rows_of(DOCS / "api.md")}
    # The routes of `InferenceService` are their REST form.
    for method in model_service_pb2.DESCRIPTOR.services_by_name["ModelService"].methods:
        assert not method.GetOptions().HasExtension(annotations_pb2.http)
        assert f"`ModelService.{method.name}`" in listed


def test_every_other_public_rpc_has_a_rest_route() -> None:
    for method in public_methods():
        if method.containing_service.name != "ModelService":
            assert len(routes_of(method, streams=False)) > 1, method.full_name


def test_the_api_page_has_every_error() -> None:
    listed = {
        (int(cells[0]), *spans_of(cells[1]))
        for cells in rows_of(DOCS / "api.md", "Errors")
        if cells[0].isdecimal()
    }
    planes = (
        (control_plane_errors, control_plane_errors),
        (data_plane_errors, data_plane_errors),
        (data_plane_errors, provider_errors),
    )
    there = {(INTERNAL.http, INTERNAL.error_code)}
    for owner, module in planes:
        there |= set(_statuses(owner.STATUS_TABLE, module))
    assert listed == there


def _statuses(table: Any, module: ModuleType) -> Iterator[tuple[int, str]]:
    for value in vars(module).values():
        is_error = isinstance(value, type) and issubclass(value, Exception)
        if is_error and (status := table.status_of(value.__new__(value))):
            yield status.http, status.error_code


@pytest.mark.parametrize("provider", sorted(FACTORIES))
def test_the_providers_page_says_what_each_serves(provider: str) -> None:
    served = {case.task for case in cases_of(provider)}
    (cells,) = (row for row in rows_of(DOCS / "providers.md") if row[0] == f"`{provider}`")
    _, chat, completions, embeddings, streaming, tools, images, _ = cells
    for task, cell in (
        (Task.CHAT, chat),
        (Task.COMPLETIONS, completions),
        (Task.EMBEDDINGS, embeddings),
    ):
        assert (cell != "no") is (task in served), task
    for task, word in ((Task.CHAT, "chat"), (Task.COMPLETIONS, "completions")):
        streams = any(case.streams for case in cases_of(provider) if case.task == task)
        assert (word in streaming) is streams, task
    assert (tools == "yes") is _takes(provider, tools=[TOOL])
    assert (images == "yes") is _takes(provider, messages=[{"role": "user", "content": [IMAGE]}])


@pytest.mark.parametrize("provider", sorted(FACTORIES))
def test_the_readme_says_which_tasks_each_provider_serves(provider: str) -> None:
    (cells,) = (row for row in rows_of(README, "Providers") if row[0] == f"`{provider}`")
    served = {str(case.task).rpartition("/")[2] for case in cases_of(provider)}
    assert set(cells[1].split(", ")) == served


def _takes(provider: str, **parameters: object) -> bool:
    """Tell whether any chat model of a provider takes parameters."""
    return any(
        _plans(build_adapter(case.model("http://127.0.0.1:1")), {**case.body, **parameters})
        for case in cases_of(provider)
        if case.task == Task.CHAT
    )


def _plans(adapter: Adapter, body: JsonObject) -> bool:
    query = Query(body, stream=False)
    fetched = {url: Image("image/png", b"png") for url in adapter.image_urls(query)}
    try:
        return not any("tool" in what for what in adapter.plan(query, fetched).adapted)
    except RequestRefused:
        return False


def _settings(*classes: type) -> dict[str, str]:
    """Return the defaults of settings by their variables, as the page has them."""
    found: dict[str, Field[Any]] = {}
    for cls in classes:
        found |= {variable_name(item.name): item for item in fields(cls)}
    return {name: _shown(item.default) for name, item in found.items()}


def _shown(default: object) -> str:
    text = f"{default:g}" if isinstance(default, float) else str(default)
    return f"`{text}`" if text else ""


def test_the_settings_page_has_every_setting_with_its_default() -> None:
    control_plane, worker = _settings(ControlPlaneSettings), _settings(WorkerSettings)
    launcher = _settings(LauncherSettings)
    del launcher["MODELPLANE_BACKEND"]
    writer = _settings(WriterSettings)
    both = control_plane.keys() & worker.keys()
    assert {name: control_plane[name] for name in both} == {name: worker[name] for name in both}
    for heading, there in (
        ("Both planes", {name: control_plane[name] for name in both}),
        ("Control plane", {k: v for k, v in control_plane.items() if k not in both}),
        ("Worker", {k: v for k, v in worker.items() if k not in both}),
        ("Launcher", {k: v for k, v in launcher.items() if k not in both}),
        ("Payload writer", {k: v for k, v in writer.items() if k not in both}),
    ):
        rows = list(rows_of(DOCS / "settings.md", heading))[1:]
        assert {spans_of(cells[0])[0]: cells[1] for cells in rows} == there


def test_the_settings_page_has_every_flag_of_up() -> None:
    command = [sys.executable, "-m", "modelplane", "up", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    there = set(re.findall(r"--[a-z-]+", shown)) - {"--help"}
    rows = rows_of(DOCS / "settings.md", "modelplane up")
    assert {flag for cells in rows for flag in spans_of(cells[0])} == there


def test_the_metrics_page_has_every_metric() -> None:
    sources = [path.read_text() for name in CODE for path in sorted((ROOT / name).rglob("*.py"))]
    there = {
        name.removesuffix("_total")
        for text in sources
        if "from prometheus_client" in text
        for name in re.findall(r'"(modelplane_[a-z_]+|request_[a-z0-9_]+_(?:total|ms))"', text)
    }
    assert len(there) > 30
    rows = rows_of(DOCS / "metrics.md")
    listed = {name.removesuffix("_total") for cells in rows for name in spans_of(cells[0])}
    assert listed == there


def test_every_decision_has_its_page() -> None:
    pages = sorted((DOCS / "decisions").glob("[0-9]*.md"))
    index = (DOCS / "decisions" / "README.md").read_text()
    for number, page in enumerate(pages, 1):
        title, *headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
        assert page.name.startswith(f"{number:04d}-")
        assert headings == ["Context", "Choice", "Cost"], page.name
        prefix, _, name = title.partition(". ")
        assert int(prefix) == number
        assert f"| [{number}]({page.name}) | {name} |" in index
    assert len(pages) == len(re.findall(r"^\| \[", index, re.MULTILINE))


def test_the_command_line_page_has_every_command_and_verb() -> None:
    rows = list(rows_of(DOCS / "command-line.md", "Commands"))
    listed = {span for cells in rows for span in spans_of(cells[0])}
    assert listed - {"modelplane --version"} == {f"modelplane {name}" for name in COMMANDS}
    for cells in rows:
        name = cells[0].strip("`").removeprefix("modelplane ")
        if name in COMMANDS and ".nouns." in (module := COMMANDS[name].module):
            noun: Noun = import_module(module).NOUN
            assert spans_of(cells[1]) == [verb.name for verb in noun.verbs]


def test_the_command_line_page_has_every_exit_status() -> None:
    rows = rows_of(DOCS / "command-line.md", "Exit statuses")
    listed = {int(cells[0]) for cells in rows if cells[0].isdecimal()}
    assert listed == set(Status)
