"""Metrics of the journal of admitted queries: `journal.py` and `shipper.py` report here."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class JournalMetrics:
    """Metrics of the journal."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register with `registry`."""
        self.lost = Counter(
            "modelplane_usage_lost",
            "Admitted queries whose usage could not be written to the journal.",
            registry=registry,
        )
        self.bytes = Gauge(
            "modelplane_journal_bytes", "Room that the journal takes.", registry=registry
        )
        self.shipped = Counter(
            "modelplane_usage_shipped",
            "Entries that the control plane has acknowledged.",
            registry=registry,
        )
        self.failures = Counter(
            "modelplane_usage_ship_failures",
            "Batches that the control plane did not acknowledge.",
            registry=registry,
        )
