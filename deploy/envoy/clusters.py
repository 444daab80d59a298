"""The two groups of servers behind Envoy, their health checks and how load is spread.

Used by `config.py`; `routes.py` says which request goes to which group.
"""

import ipaddress
from collections.abc import Sequence

from modelplane.deploy.envoy.options import Address

CONTROL_PLANE = "control_plane"
WORKERS = "workers"

Block = dict[str, object]

# The planes limit their own work; Envoy must not refuse what they would take.
_UNLIMITED = 1_000_000
# Small windows let back-pressure from a slow reader of a stream reach the worker.
_STREAM_WINDOW_BYTES = 256 * 1024
_CONNECTION_WINDOW_BYTES = 16 * 1024 * 1024
_DNS: Block = {
    "cluster_type": {
        "name": "envoy.cluster.dns",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.clusters.dns.v3.DnsCluster",
            "dns_refresh_rate": "2s",
        },
    }
}


def build_cluster(name: str, addresses: Sequence[Address]) -> Block:
    """Return a cluster of gRPC servers.

    Args:
        name: CONTROL_PLANE or WORKERS.
        addresses: Its servers; a host name stands for all addresses that DNS gives.
    """
    return {
        "name": name,
        **({"type": "STATIC"} if all(map(_is_ip, addresses)) else _DNS),
        "connect_timeout": "1s",
        "lb_policy": "LEAST_REQUEST",
        "common_lb_config": {
            # Better an honest 503 than a request to a server known to be down.
            "healthy_panic_threshold": {"value": 0},
            # What a health check finds holds at once; by default up to a second later.
            "update_merge_window": "0s",
        },
        "ignore_health_on_host_removal": True,
        "health_checks": [_health_check()],
        "circuit_breakers": {"thresholds": [_thresholds()]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3"
                ".HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": _http2()},
            }
        },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [_endpoint(address) for address in addresses]}],
        },
    }


def build_address(address: Address) -> Block:
    """Return an address in Envoy's form."""
    return {"socket_address": {"address": address.host, "port_value": address.port}}


def _is_ip(address: Address) -> bool:
    try:
        ipaddress.ip_address(address.host)
    except ValueError:
        return False
    return True


def _endpoint(address: Address) -> Block:
    return {"endpoint": {"address": build_address(address)}}


def _health_check() -> Block:
    # A draining server says so and gets no new calls half a second later; one that is stalled is
    # noticed after the timeout, which is long enough for a burst of work in a busy process.
    return {
        "grpc_health_check": {},
        "timeout": "2s",
        "interval": "0.5s",
        "no_traffic_interval": "0.5s",
        "unhealthy_interval": "0.25s",
        "unhealthy_threshold": 1,
        "healthy_threshold": 1,
    }


def _thresholds() -> Block:
    return {
        "max_connections": _UNLIMITED,
        "max_pending_requests": _UNLIMITED,
        "max_requests": _UNLIMITED,
        "max_retries": _UNLIMITED,
    }


def _http2() -> Block:
    return {
        "initial_stream_window_size": _STREAM_WINDOW_BYTES,
        "initial_connection_window_size": _CONNECTION_WINDOW_BYTES,
        # Finds a peer that vanished without closing its connection.
        "connection_keepalive": {"interval": "10s", "timeout": "5s"},
    }
