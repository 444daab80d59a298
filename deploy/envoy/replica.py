"""The bootstrap of an Envoy that is a worker: it takes gRPC calls from an Envoy in front of it.

The Envoy in front transcodes, shapes errors and logs (`config.py`); what is in this one is
`embedded.py`'s.
"""

import json

from modelplane.deploy.envoy.clusters import Block, build_address
from modelplane.deploy.envoy.embedded import build_drain_filter, build_replica_filter
from modelplane.deploy.envoy.memory import build_memory
from modelplane.deploy.envoy.options import Address

_HTTP_CONNECTIONS = (
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
    ".HttpConnectionManager"
)
# As gRPC servers take (`adapters/rpc/server.py`).
_MAX_HEADERS_KIB = 64
# The Envoy in front decides how much a worker gets to do.
_MAX_STREAMS = 1_000_000


def render_replica(listen: Address, admin: Address) -> str:
    """Return the bootstrap as JSON.

    Args:
        listen: Where the Envoy in front finds the worker.
        admin: Where the admin page is.
    """
    return json.dumps(_build(listen, admin), indent=1)


def _build(listen: Address, admin: Address) -> Block:
    manager = {"@type": _HTTP_CONNECTIONS, **_http_connections()}
    connections = {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": manager,
    }
    listener = {
        "name": "replica",
        "address": build_address(listen),
        # Two workers on one port would share its connections, and nobody would be told.
        "enable_reuse_port": False,
        "filter_chains": [{"filters": [connections]}],
    }
    return {
        "static_resources": {"listeners": [listener]},
        "memory_allocator_manager": build_memory(),
        "admin": {"address": build_address(admin)},
    }


def _http_connections() -> Block:
    return {
        "stat_prefix": "replica",
        "codec_type": "HTTP2",
        # The last filter answers everything.
        "route_config": {"name": "replica"},
        "http_filters": [build_drain_filter(), build_replica_filter()],
        "max_request_headers_kb": _MAX_HEADERS_KIB,
        # The Envoy in front watches the time.
        "stream_idle_timeout": "0s",
        "generate_request_id": False,
        "preserve_external_request_id": True,
        "server_header_transformation": "PASS_THROUGH",
        "common_http_protocol_options": {"headers_with_underscores_action": "ALLOW"},
        "http2_protocol_options": {
            "max_concurrent_streams": _MAX_STREAMS,
            "initial_stream_window_size": 1024 * 1024,
            "initial_connection_window_size": 16 * 1024 * 1024,
        },
    }
