"""Metrics of the configuration and of the watch stream: `watcher.py` reports here."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class ConfigMetrics:
    """Metrics of the configuration and of the watch stream."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register with `registry`."""
        self.revision = Gauge(
            "modelplane_applied_revision", "Revision that the worker serves.", registry=registry
        )
        self.nacks = Counter(
            "modelplane_config_nacks", "Configurations that the worker refused.", registry=registry
        )
        self.connected = Gauge(
            "modelplane_control_plane_connected",
            "1 while a watch stream is open.",
            registry=registry,
        )
        self.silence = Gauge(
            "modelplane_control_plane_silence_seconds",
            "Time since the last message of the control plane.",
            registry=registry,
        )
        self.config_age = Gauge(
            "modelplane_config_age_seconds",
            "Time since the worker last applied a change.",
            registry=registry,
        )
