"""Metrics of the requests that wait for replicas: `groups.py` has the numbers."""

from prometheus_client import CollectorRegistry, Gauge

from modelplane.data_plane.hosting.groups import Groups


def show_waiting(groups: Groups, registry: CollectorRegistry) -> None:
    """Show in `registry` what waits for any of `groups`."""
    waiting = Gauge(
        "modelplane_hosted_waiting",
        "Requests that wait for a replica of a hosted model.",
        registry=registry,
    )
    waiting.set_function(lambda: groups.waiting)
    held = Gauge("modelplane_hosted_waiting_bytes", "Bytes of their bodies.", registry=registry)
    held.set_function(lambda: groups.held.total)
