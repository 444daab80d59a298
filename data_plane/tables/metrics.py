"""Metrics of the payload writer."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class WriterMetrics:
    """Metrics of the payload writer."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register with `registry`."""
        self.written = Counter(
            "modelplane_payload_rows_written",
            "Rows that payload tables have got.",
            registry=registry,
        )
        self.stripped = Counter(
            "modelplane_payload_rows_stripped",
            "Rows whose bodies were dropped, as too many wait for a table that takes none.",
            registry=registry,
        )
        self.failures = Counter(
            "modelplane_payload_write_failures",
            "Commits that a payload table did not take.",
            registry=registry,
        )
        self.lag = Gauge(
            "modelplane_payload_lag_seconds",
            "Age of the oldest rows that left a worker and are not in their table.",
            registry=registry,
        )
