"""Metrics of what is recorded of payloads: `journal.py` reports here."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class PayloadMetrics:
    """Metrics of the payload journal."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register with `registry`."""
        self.rows = Counter(
            "modelplane_payload_rows",
            "Rows written to the payload journal, on their way to tables.",
            registry=registry,
        )
        self.dropped = Counter(
            "modelplane_payload_dropped",
            "Rows whose bodies were dropped, as the payload journal had no room.",
            registry=registry,
        )
        self.lost = Counter(
            "modelplane_payload_lost",
            "Rows that could not be written to the payload journal at all.",
            registry=registry,
        )
        self.bytes = Gauge(
            "modelplane_payload_journal_bytes",
            "Room that the payload journals of all workers on this disk take.",
            registry=registry,
        )
