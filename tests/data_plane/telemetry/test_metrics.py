from prometheus_client import CollectorRegistry

from data_plane.telemetry.metrics import Metrics


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
