"""The two groups of servers behind Envoy, their health checks and how load is spread.

Control planes speak gRPC. Workers speak HTTP/1.1, gRPC calls too: as chunked requests, and answers
with trailers. Used by `config.py`; `routes.py` says which request goes to which group.
"""

import ipaddress
from collections.abc import Sequence

from modelplane.deploy.envoy.options import Address, MutualTls

CONTROL_PLANE = "control_plane"
WORKERS = "workers"

Block = dict[str, object]

# Retries are bounded by what they are of.
_UNLIMITED = 1_000_000
# About what a control plane answers in a second. Its gRPC server would cancel calls beyond 1,000
# that it has not begun with, as if their callers had gone; here they are refused as overload.
MAX_MANAGEMENT_CALLS = 900
# Each call of a worker takes a connection; as many as one worker has
# (`data_plane/hosts/http1/listener.py`). What is beyond that is refused instead of waiting.
MAX_CALLS = 20_000
# Little room lets back-pressure from a slow reader of a stream reach the worker.
_BUFFER_BYTES = 256 * 1024
_CONNECTION_WINDOW_BYTES = 16 * 1024 * 1024
# A worker closes idle connections after more than an hour. Were it the first to, a request could
# be on its way into a connection that is just being closed, and be lost.
_IDLE = "600s"
# The name in a worker's certificate (`deploy/certificates.py`).
_WORKER_NAME = "worker"
_EXTENSIONS = "type.googleapis.com/envoy.extensions"
_DNS: Block = {
    "cluster_type": {
        "name": "envoy.cluster.dns",
        "typed_config": {
            "@type": f"{_EXTENSIONS}.clusters.dns.v3.DnsCluster",
            "dns_refresh_rate": "2s",
        },
    }
}


def build_control_plane(addresses: Sequence[Address]) -> Block:
    """Return the cluster of the control planes.

    Args:
        addresses: Where they are; a host name stands for all addresses that DNS gives.

    Raises:
        ValueError: Names and paths are mixed.
    """
    protocol: Block = {"explicit_http_config": {"http2_protocol_options": _http2()}}
    cluster = _cluster(CONTROL_PLANE, protocol, {"grpc_health_check": {}}, MAX_MANAGEMENT_CALLS)
    return {**cluster, **_place(CONTROL_PLANE, addresses)}


def build_workers(
    addresses: Sequence[Address], tls: MutualTls | None = None, eds: str = ""
) -> Block:
    """Return the cluster of the workers.

    Args:
        addresses: Where they are; a host name stands for all addresses that DNS gives.
        tls: How Envoy and they know each other; None: by being on one machine.
        eds: File with `build_assignment`'s answer as a resource, watched by Envoy; empty: they
            stay where they are.

    Raises:
        ValueError: Names and paths are mixed.
    """
    protocol: Block = {
        "explicit_http_config": {"http_protocol_options": {"enable_trailers": True}},
        "common_http_protocol_options": {"idle_timeout": _IDLE},
    }
    health_check: Block = {"http_health_check": {"path": "/health"}}
    cluster = _cluster(WORKERS, protocol, health_check, MAX_CALLS)
    cluster |= _watched(eds) if eds else _place(WORKERS, addresses)
    cluster["per_connection_buffer_limit_bytes"] = _BUFFER_BYTES
    if not any(address.path for address in addresses):
        # Finds a worker that vanished without closing its connections.
        probes = {"keepalive_time": 10, "keepalive_interval": 5, "keepalive_probes": 3}
        cluster["upstream_connection_options"] = {"tcp_keepalive": probes}
    if tls:
        cluster["transport_socket"] = _mutual_tls(tls)
    return cluster


def build_address(address: Address) -> Block:
    """Return an address in Envoy's form."""
    if address.path:
        # A socket that Envoy itself listens on is for its owner only.
        return {"pipe": {"path": address.path, "mode": 0o600}}
    return {"socket_address": {"address": address.host, "port_value": address.port}}


def build_assignment(name: str, addresses: Sequence[Address]) -> Block:
    """Return which servers a cluster has."""
    endpoints = [{"endpoint": {"address": build_address(address)}} for address in addresses]
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]}


def _cluster(name: str, protocol: Block, health_check: Block, most: int) -> Block:
    protocol_type = f"{_EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions"
    return {
        "name": name,
        "connect_timeout": "1s",
        "lb_policy": "LEAST_REQUEST",
        "common_lb_config": {
            # Better an honest 503 than a request to a server known to be down.
            "healthy_panic_threshold": {"value": 0},
            # What a health check finds holds at once; by default up to a second later.
            "update_merge_window": "0s",
        },
        "ignore_health_on_host_removal": True,
        "health_checks": [{**health_check, **_health_timing()}],
        "circuit_breakers": {"thresholds": [_thresholds(most)]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": protocol_type,
                **protocol,
            }
        },
    }


def _place(name: str, addresses: Sequence[Address]) -> Block:
    assignment: Block = {"load_assignment": build_assignment(name, addresses)}
    if all(address.path or _is_ip(address) for address in addresses):
        return {"type": "STATIC", **assignment}
    if any(address.path for address in addresses):
        raise ValueError(f"the {name.replace('_', ' ')} cannot have host names beside Unix sockets")
    return {**_DNS, **assignment}


def _watched(eds: str) -> Block:
    source = {"path_config_source": {"path": eds}, "resource_api_version": "V3"}
    return {"type": "EDS", "eds_cluster_config": {"eds_config": source}}


def _is_ip(address: Address) -> bool:
    try:
        ipaddress.ip_address(address.host)
    except ValueError:
        return False
    return True


def _health_timing() -> Block:
    # A draining server says so and gets no new calls half a second later; one that is stalled is
    # noticed after the timeout, which is long enough for a burst of work in a busy process.
    return {
        "timeout": "2s",
        "interval": "0.5s",
        "no_traffic_interval": "0.5s",
        "unhealthy_interval": "0.25s",
        "unhealthy_threshold": 1,
        "healthy_threshold": 1,
    }


def _thresholds(most: int) -> Block:
    return {
        "max_connections": most,
        "max_pending_requests": most,
        "max_requests": most,
        "max_retries": _UNLIMITED,
    }


def _http2() -> Block:
    return {
        "initial_stream_window_size": _BUFFER_BYTES,
        "initial_connection_window_size": _CONNECTION_WINDOW_BYTES,
        # Finds a peer that vanished without closing its connection.
        "connection_keepalive": {"interval": "10s", "timeout": "5s"},
    }


def _mutual_tls(tls: MutualTls) -> Block:
    name = {"san_type": "DNS", "matcher": {"exact": _WORKER_NAME}}
    own = {"certificate_chain": {"filename": tls.certificate}, "private_key": {"filename": tls.key}}
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_EXTENSIONS}.transport_sockets.tls.v3.UpstreamTlsContext",
            "common_tls_context": {
                "tls_params": {
                    "tls_minimum_protocol_version": "TLSv1_3",
                    # By itself Envoy asks for no more than 1.2.
                    "tls_maximum_protocol_version": "TLSv1_3",
                },
                "tls_certificates": [own],
                "validation_context": {
                    "trusted_ca": {"filename": tls.ca},
                    "match_typed_subject_alt_names": [name],
                },
            },
        },
    }
