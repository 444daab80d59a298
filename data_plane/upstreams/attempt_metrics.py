"""Metrics of attempts at upstreams: `attempts.py` reports here."""

from prometheus_client import CollectorRegistry, Counter


class AttemptMetrics:
    """Metrics of attempts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register with `registry`."""
        self.retries = Counter(
            "modelplane_retries",
            "Times that a served entity was asked again, by the error that was the reason.",
            ("error",),
            registry=registry,
        )
        self.fallbacks = Counter(
            "modelplane_fallbacks", "Times that another served entity was asked.", registry=registry
        )
        self.circuit_changes = Counter(
            "modelplane_circuit_changes",
            "Circuits of upstreams that opened or closed.",
            ("state",),
            registry=registry,
        )
