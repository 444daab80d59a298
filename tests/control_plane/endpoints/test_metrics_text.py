"""What is printed, read back with the parsers of Prometheus."""

from dataclasses import replace

import pytest
from modelserving.store.v1.hosting_pb2 import ScalePolicy
from prometheus_client import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from modelplane.control_plane.endpoints.metrics import MetricsView
from modelplane.control_plane.endpoints.metrics_text import build_metrics_text
from modelplane.control_plane.endpoints.totals import EngineTotals, Totals
from tests.control_plane.endpoints.test_totals import NOW, figures, report

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


@pytest.fixture
def view() -> MetricsView:
    totals = Totals()
    totals.add(report(_200=3, _429=2, _502=1), NOW)
    return MetricsView("chat", totals.entities, totals.last_minute(NOW), 4)


def parse(text: bytes) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(text.decode())}


def values(metric: Metric) -> list[float]:
    return [sample.value for sample in metric.samples]


def test_what_is_used_of_what_is_provisioned_is_printed(view: MetricsView) -> None:
    assert b"per_second" not in build_metrics_text(view, "text/plain")[1]
    scale = ScalePolicy(throughput_chunk=80, min_throughput=80, max_throughput=240)
    busy = replace(view, tokens_per_second={"gpt": 1.1}, provisioned={"gpt": scale, "new": scale})
    families = parse(build_metrics_text(busy, "text/plain")[1])
    used = families["modelplane_endpoint_tokens_per_second"].samples
    assert {one.labels["served_model_name"]: one.value for one in used} == {"gpt": 1.1, "new": 0}
    bounds = families["modelplane_endpoint_provisioned_tokens_per_second"].samples
    assert {one.labels["bound"]: one.value for one in bounds} == {
        "min": 80,
        "max": 240,
        "chunk": 80,
    }


def test_what_engines_say_of_themselves_is_printed(view: MetricsView) -> None:
    assert b"_engine_" not in build_metrics_text(view, "text/plain")[1]
    engine = EngineTotals()
    engine.note({"a": figures(2, 0.25, 100, 40), "b": figures(1, 0.75, 10)}, NOW)
    busy = replace(view, engines={"gpt": engine}, now_ms=NOW)
    families = parse(build_metrics_text(busy, "text/plain")[1])
    named = {
        name.removeprefix("modelplane_endpoint_engine_"): {
            one.labels.get("state", one.labels.get("kind", one.labels.get("result", ""))): one.value
            for one in family.samples
        }
        for name, family in families.items()
        if "_engine_" in name
    }
    assert named == {
        "requests": {"running": 3, "waiting": 0},
        "kv_cache_usage_ratio": {"": 0.5},
        "tokens": {"prompt": 110, "generation": 220},
        "prefix_cache_tokens": {"queries": 110, "hits": 40},
    }
    # What was so a while ago is not told as if it were so; what was counted stays.
    later = build_metrics_text(replace(busy, now_ms=NOW + 120_000), "text/plain")[1].decode()
    assert "engine_requests{" not in later
    assert "kv_cache_usage_ratio{" not in later
    assert 'engine_tokens_total{endpoint_name="chat",kind="prompt"' in later


def test_prometheus_reads_what_is_printed(view: MetricsView) -> None:
    content_type, text = build_metrics_text(view, "text/plain")
    assert content_type.startswith("text/plain; version=0.0.4")
    families = parse(text)
    own = {"endpoint_name": "chat", "served_model_name": "gpt"}
    minute = ("request_count_total", "request_4xx_count_total", "request_5xx_count_total")
    for name, value in zip(minute, (6, 2, 1), strict=True):
        assert families[name].type == "gauge"
        [sample] = families[name].samples
        assert (sample.value, sample.labels) == (value, own)
    latency = families["request_latency_ms"]
    assert latency.type == "histogram"
    samples = {
        (item.name.rpartition("_")[2], item.labels.get("le")): item.value
        for item in latency.samples
    }
    assert samples["bucket", "5.0"] == 0
    assert samples["bucket", "10.0"] == samples["bucket", "+Inf"] == 6
    assert (samples["count", None], samples["sum", None]) == (6, 42.0)
    requests = families["modelplane_endpoint_requests"]
    assert requests.type == "counter"
    assert {item.labels["status"]: item.value for item in requests.samples} == {
        "200": 3,
        "429": 2,
        "502": 1,
    }
    assert values(families["modelplane_endpoint_tokens"]) == [60, 6]
    assert values(families["modelplane_endpoint_requests_in_flight"]) == [4]


def test_openmetrics_is_given_to_those_who_ask_for_it(view: MetricsView) -> None:
    content_type, text = build_metrics_text(view, OPENMETRICS)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith(b"# EOF\n")
    read = openmetrics.text_string_to_metric_families(text.decode())  # type: ignore[no-untyped-call]
    families = {family.name: family for family in read}
    assert values(families["request_count_total"]) == [6]
    assert set(families) == set(parse(build_metrics_text(view, "")[1]))


def test_an_endpoint_without_configuration_has_metrics_too() -> None:
    _, text = build_metrics_text(MetricsView("new", {}, {}, 0), "")
    families = parse(text)
    assert values(families["modelplane_endpoint_requests_in_flight"]) == [0]
    assert values(families["request_count_total"]) == []
