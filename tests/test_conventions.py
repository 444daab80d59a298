"""What this codebase promises about itself: sizes, names, layers, and a README that is true."""

import ast
import re
from dataclasses import fields
from pathlib import Path

import pytest
from google.api import annotations_pb2
from google.protobuf.descriptor import ServiceDescriptor
from modelserving.v1 import (
    audit_service_pb2,
    client_secret_service_pb2,
    endpoint_service_pb2,
    identity_service_pb2,
    inference_service_pb2,
    model_service_pb2,
    oauth_service_pb2,
    permission_service_pb2,
    secret_service_pb2,
    token_service_pb2,
    usage_service_pb2,
)
from modelserving.worker.v1 import snapshot_service_pb2

from modelplane.adapters.providers.base import Adapter
from modelplane.adapters.providers.errors import RequestRefused
from modelplane.adapters.providers.registry import FACTORIES, build_adapter
from modelplane.adapters.providers.types import Image, JsonObject, Query, Task
from modelplane.adapters.shared.settings import variable_name
from modelplane.control_plane import errors as control_plane_errors
from modelplane.control_plane.settings import Settings as ControlPlaneSettings
from modelplane.data_plane import errors as data_plane_errors
from modelplane.data_plane.settings import Settings as WorkerSettings
from tests.adapters.providers.conformance import cases_of

ROOT = Path(__file__).parent.parent
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
PACKAGES = ("adapters", "control_plane", "data_plane", "deploy", "bench")
SOURCES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
README = (ROOT / "README.md").read_text()
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50
BANNED_MODULE_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "misc", "handler"}
PUBLIC_SERVICES = [
    service
    for module in (
        audit_service_pb2,
        client_secret_service_pb2,
        endpoint_service_pb2,
        identity_service_pb2,
        inference_service_pb2,
        oauth_service_pb2,
        permission_service_pb2,
        secret_service_pb2,
        token_service_pb2,
        usage_service_pb2,
    )
    for service in module.DESCRIPTOR.services_by_name.values()
]


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


@pytest.mark.parametrize("provider", sorted(FACTORIES))
def test_a_provider_lives_in_its_own_place_and_the_registry(provider: str) -> None:
    module = provider.replace("-", "_")
    # `deploy` and `bench` are callers of the API and name what they register; a provider that
    # hosts the models of others names their families.
    spread = {
        relative(path)
        for path in SOURCES
        if path.relative_to(ROOT).parts[0] not in {"deploy", "bench"}
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


@pytest.mark.parametrize("service", PUBLIC_SERVICES, ids=lambda service: service.name)
def test_every_public_rpc_has_a_rest_route_in_the_readme(service: ServiceDescriptor) -> None:
    for method in service.methods:
        rule = method.GetOptions().Extensions[annotations_pb2.http]
        for binding in (rule, *rule.additional_bindings):
            verb = binding.WhichOneof("pattern")
            assert verb, f"{method.name} has no google.api.http rule"
            route = f"`{verb.upper()} {getattr(binding, verb)}`"
            assert route in README, f"README does not list {route}"


def test_the_typed_rpcs_have_no_rest_route_and_the_readme_names_the_one_they_equal() -> None:
    # The routes of `InferenceService` are their REST form.
    for method in model_service_pb2.DESCRIPTOR.services_by_name["ModelService"].methods:
        assert not method.GetOptions().HasExtension(annotations_pb2.http)
        assert f"| `ModelService.{method.name}` |" in README


def test_the_watch_service_has_no_rest_route() -> None:
    for service in snapshot_service_pb2.DESCRIPTOR.services_by_name.values():
        for method in service.methods:
            assert not method.GetOptions().HasExtension(annotations_pb2.http)


@pytest.mark.parametrize("provider", sorted(FACTORIES))
def test_the_readme_says_what_each_provider_serves(provider: str) -> None:
    row = next(line for line in README.splitlines() if line.startswith(f"| `{provider}` |"))
    served = {case.task for case in cases_of(provider)}
    cells = [cell.strip() for cell in row.split("|")]
    chat, completions, embeddings, streaming, tools, images = cells[2:8]
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


@pytest.mark.parametrize("settings", [ControlPlaneSettings, WorkerSettings])
def test_the_readme_lists_every_setting(
    settings: type[ControlPlaneSettings] | type[WorkerSettings],
) -> None:
    for item in fields(settings):
        assert f"| `{variable_name(item.name)}` |" in README


def test_the_readme_lists_every_metric() -> None:
    sources = [path.read_text() for path in SOURCES]
    found = [
        name
        for text in sources
        if "from prometheus_client" in text
        for name in re.findall(r'"(modelplane_[a-z_]+|request_[a-z0-9_]+_(?:total|ms))"', text)
    ]
    assert len(found) > 30
    assert not [name for name in found if not re.search(rf"`{name}(_total)?`", README)]


@pytest.mark.parametrize("module", [control_plane_errors, data_plane_errors])
def test_every_domain_error_has_a_status(module: object) -> None:
    table = vars(module)["STATUS_TABLE"]
    base = {"ControlPlaneError", "DataPlaneError"}
    for name, value in vars(module).items():
        if isinstance(value, type) and issubclass(value, Exception) and name not in base:
            assert table.status_of(value.__new__(value)) is not None, name


def test_nothing_committed_names_a_registry_or_a_machine() -> None:
    # Split, so that this file does not name them either.
    forbidden = ("py" + "pi.org", "python" + "hosted.org", "registry.npm" + "js", "/work" + "/")
    pins = [
        *ROOT.glob("*.lock"),
        *ROOT.glob("bench/*/requirements*"),
        *ROOT.glob("bench/peers/*/*"),
    ]
    others = [ROOT / name for name in ("README.md", "Makefile", "install.py", ".ci/run")]
    for path in (*SOURCES, *others, *(path for path in pins if path.is_file())):
        text = path.read_text()
        assert not [name for name in forbidden if name in text], relative(path)
