"""Dashboard and alerts ask for metrics, and labels of them, that the parts really have."""

import json
import re
from pathlib import Path

import pytest
import requests
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.rest import CHAT, Json, Rest, endpoint, entity
from tests.e2e.system import System, wait_for
from tests.emulators.openai import OpenAiEmulator

FILES = Path(__file__).parents[2] / "deploy" / "chart" / "files"
_METRIC = re.compile(r"\b(modelplane_[a-z_]+)(?:\{([^}]*)\})?")
_BY = re.compile(r"\bby \(([a-z_, ]+)\)")
# Counted with labels only once it happens, and none does here.
_RARE = {
    "modelplane_upstream_errors_total": {"provider", "error"},
    "modelplane_retries_total": {"error"},
    "modelplane_fallbacks_total": {"endpoint"},
    "modelplane_limit_refusals_total": {"unit", "scope"},
    "modelplane_launcher_replica_ends_total": {"engine", "outcome"},
}


def alerts() -> list[str]:
    groups = yaml.safe_load((FILES / "alerts.yaml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    return [rule["expr"] for rule in rules]


def panels() -> list[str]:
    found = json.loads((FILES / "dashboard.json").read_text())
    variables = [one["query"] for one in found["templating"]["list"] if one["type"] == "query"]
    return [target["expr"] for one in found["panels"] for target in one["targets"]] + variables


def asked(expression: str) -> dict[str, set[str]]:
    """Return the labels that an expression wants of each metric in it."""
    grouped = {name.strip() for names in _BY.findall(expression) for name in names.split(",")}
    if found := re.fullmatch(r"label_values\((\w+), (\w+)\)", expression):
        return {found[1]: {found[2]}}
    return {
        name: {*re.findall(r"(\w+)=~?\"", matchers), *grouped}
        for name, matchers in _METRIC.findall(expression)
    }


def parts_of(system: System) -> Json:
    return dict(json.loads((system.data_dir / "up.json").read_text()))


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=20).ok
    except requests.ConnectionError:
        return False


@pytest.mark.parametrize("expressions", [alerts, panels])
def test_what_is_asked_for_is_there(
    system: System, rest: Rest, provider: OpenAiEmulator, expressions: object
) -> None:
    rest.create(endpoint("watched", entity(provider)))
    rest.query("watched", CHAT)
    # Its start is the last one, after the first answers.
    wait_for(lambda: "launcher" in parts_of(system))
    state = parts_of(system)
    urls = [
        one["metrics_url"] for one in (state["control_plane"], *state["workers"], state["launcher"])
    ]
    wait_for(lambda: _answers(urls[-1]))
    assert callable(expressions)
    wanted = {expression: asked(expression) for expression in expressions()}
    assert all(wanted.values()), wanted
    missing: list[str] = []

    def all_are_there() -> bool:
        missing[:] = lacking(wanted, told(urls))
        return not missing

    # A call is counted once it is answered, which its caller may hear before.
    try:
        wait_for(all_are_there)
    finally:
        assert missing == []


def told(urls: list[str]) -> dict[str, set[str]]:
    """Return the labels of each metric that is on the pages."""
    there: dict[str, set[str]] = {}
    for url in urls:
        for family in text_string_to_metric_families(requests.get(url, timeout=120).text):
            # A counter without a sample yet is a family alone.
            there.setdefault(f"{family.name}_total" * (family.type == "counter"), set())
            for sample in family.samples:
                there.setdefault(sample.name, set()).update(sample.labels)
    return there


def lacking(wanted: dict[str, dict[str, set[str]]], there: dict[str, set[str]]) -> list[str]:
    """Return the expressions whose metrics, or labels of them, are not there."""
    return [
        expression
        for expression, metrics in wanted.items()
        if not all(
            metric in there and labels <= there[metric] | _RARE.get(metric, set())
            for metric, labels in metrics.items()
        )
    ]
