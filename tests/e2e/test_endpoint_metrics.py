"""Metrics of an endpoint through Envoy, over both workers, as Prometheus and the SDK read them."""

from typing import Any

from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.rest import CHAT, ENDPOINTS, Rest, endpoint, entity
from tests.e2e.system import System, wait_for
from tests.emulators.openai import OpenAiEmulator

PATH = f"{ENDPOINTS}/metered/metrics"
QUERIES = 12


def read(text: str) -> dict[tuple[str, ...], float]:
    """Return the values by name, served entity and what else tells a sample apart."""
    values = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = dict(sample.labels)
            assert labels.pop("endpoint_name") == "metered"
            served = [labels.pop("served_model_name")] if "served_model_name" in labels else []
            values[sample.name, *served, *labels.values()] = sample.value
    return values


def test_calls_of_all_workers_are_summed_up(
    system: System, rest: Rest, provider: OpenAiEmulator
) -> None:
    rest.create(endpoint("metered", entity(provider)))
    fresh = read(rest.send("GET", PATH).text)
    assert fresh["request_count_total", "chat"] == 0
    assert fresh["modelplane_endpoint_requests_in_flight",] == 0
    used = 0
    for _ in range(QUERIES):
        used += rest.query("metered", CHAT).json()["usage"]["total_tokens"]
    streamed = rest.query(
        "metered", CHAT | {"stream": True, "stream_options": {"include_usage": True}}
    )
    assert streamed.status_code == 200
    assert rest.query("metered", {"messages": []}).status_code == 400

    def all_are_there() -> bool:
        values = read(rest.send("GET", PATH).text)
        return (
            values.get(("modelplane_endpoint_requests_total", "chat", "200")) == QUERIES + 1
            and values.get(("modelplane_endpoint_requests_total", "", "400")) == 1
        )

    wait_for(all_are_there)
    answer = rest.send("GET", PATH, headers={"Accept": "text/plain"})
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    values = read(answer.text)
    assert values["request_count_total", "chat"] == QUERIES + 1
    assert values["request_4xx_count_total", ""] == 1
    assert values["request_latency_ms_bucket", "chat", "+Inf"] == QUERIES + 1
    tokens = [
        values["modelplane_endpoint_tokens_total", "chat", kind] for kind in ("input", "output")
    ]
    assert sum(tokens) > used
    series = rest.call("GET", f"{PATH}-series?step_seconds=3600")
    told = {one["served_entity_name"]: one for one in series["entities"]}
    assert sum(told["chat"]["requests"]) == QUERIES + 1
    assert sum(told[""]["client_errors"]) == 1
    assert sum(told["chat"]["output_tokens"]) == tokens[1]
    assert max(told["chat"]["latency_p95_ms"]) >= max(told["chat"]["latency_p50_ms"]) > 0
    assert max(told["chat"]["first_chunk_p95_ms"]) > 0
    assert [one["config_version"] for one in series["versions"]] == [1]
    assert exported(system) == answer.text


def exported(system: System) -> str:
    config = Config(host=system.url, token=system.token, auth_type="pat")
    contents: Any = (
        WorkspaceClient(config=config).serving_endpoints.export_metrics("metered").contents
    )
    with contents:
        return str(contents.read().decode())


def test_openmetrics_and_errors(rest: Rest, provider: OpenAiEmulator) -> None:
    rest.create(endpoint("metered", entity(provider)))
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    answer = rest.send("GET", PATH, headers=accept)
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    families = list(openmetrics.text_string_to_metric_families(answer.text))  # type: ignore[no-untyped-call]
    assert "request_latency_ms" in {family.name for family in families}
    missing = rest.send("GET", f"{ENDPOINTS}/nothing/metrics")
    assert missing.json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"
