"""Metrics of limits: `gate.py` and `quota_leases.py` report here."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class QuotaMetrics:
    """Metrics of limits."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register with `registry`."""
        self.away = Gauge(
            "modelplane_limits_away",
            "1 while no control plane leases quota and the policy for that holds.",
            registry=registry,
        )
        self.leases = Counter(
            "modelplane_quota_leases",
            "Calls to the control plane for quota, by what came of them.",
            ("outcome",),
            registry=registry,
        )
        self.refusals = Counter(
            "modelplane_limit_refusals",
            "Queries refused because a limit was exceeded, by the kind of limit.",
            ("unit", "scope"),
            registry=registry,
        )
