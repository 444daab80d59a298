from prometheus_client import CollectorRegistry

from modelplane.data_plane.telemetry.metrics import _MAX_SERIES, Metrics


def test_an_endpoint_that_is_gone_leaves_no_series() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    for endpoint in ("a", "b"):
        for status in (200, 400):
            metrics.observe(endpoint, "e", "llm/v1/chat", status, 0.1)
    metrics.forget("a")
    metrics.forget("never seen")
    endpoints = {
        sample.labels["endpoint"]
        for metric in registry.collect()
        for sample in metric.samples
        if "endpoint" in sample.labels
    }
    assert endpoints == {"b"}
    metrics.observe("a", "e", "llm/v1/chat", 200, 0.1)
    labels = {"endpoint": "a", "served_entity": "e", "task": "llm/v1/chat", "status": "200"}
    assert registry.get_sample_value("modelplane_requests_total", labels) == 1


def test_times_are_counted_in_the_buckets_that_hold_them() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    for seconds in (0.005, 0.006, 400.0):
        metrics.observe("a", "e", "llm/v1/chat", 200, seconds)
    metrics.observe_stream(7, 0.2)
    metrics.in_flight += 1

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"modelplane_{name}", labels)

    name = "request_duration_seconds"
    counts = [value(f"{name}_bucket", endpoint="a", le=le) for le in ("0.005", "0.01", "300.0")]
    assert counts == [1, 2, 2]
    assert value(f"{name}_bucket", endpoint="a", le="+Inf") == 3
    assert value(f"{name}_count", endpoint="a") == 3
    assert value(f"{name}_sum", endpoint="a") == 400.011
    assert value("first_chunk_seconds_count") == 1
    assert value("streamed_chunks_total") == 7
    assert value("requests_in_flight") == 1


def test_the_last_call_of_an_endpoint_that_is_gone_leaves_no_series() -> None:
    registry = CollectorRegistry()
    names = {"a"}
    metrics = Metrics(registry, names.__contains__)
    metrics.observe("a", "e", "llm/v1/chat", 200, 0.1)
    names.clear()
    metrics.forget("a")
    for _ in range(2):
        metrics.observe("a", "e", "llm/v1/chat", 200, 0.1)
    labelled = [
        sample.labels["endpoint"]
        for metric in registry.collect()
        for sample in metric.samples
        if sample.labels.get("endpoint")
    ]
    assert labelled == []
    labels = {"endpoint": "", "served_entity": "", "task": "", "status": "200"}
    assert registry.get_sample_value("modelplane_requests_total", labels) == 2


def test_an_endpoint_has_no_more_series_however_its_entities_are_named() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    for number in range(2000):
        metrics.observe("a", f"e{number}", "llm/v1/chat", 200, 0.1)
    counts = [
        sample.value
        for metric in registry.collect()
        if metric.name == "modelplane_requests"
        for sample in metric.samples
    ]
    assert len(counts) <= _MAX_SERIES + 1
    assert sum(counts) == 2000
