"""The bootstrap of an Envoy in front of the planes.

`modelplane envoy-config` prints it; `modelplane up` runs it. Neighbours: `listener.py` for the
public port, `clusters.py` for what is behind it.
"""

import json
from collections.abc import Sequence

from modelplane.deploy.envoy.clusters import (
    WORKERS,
    Block,
    build_address,
    build_assignment,
    build_control_plane,
    build_workers,
)
from modelplane.deploy.envoy.listener import build_listener
from modelplane.deploy.envoy.options import Address, EnvoyOptions, Tls
from modelplane.deploy.envoy.overload import build_overload
from modelplane.deploy.envoy.public_tls import build_secret

# A second: what a burst has taken is given back within minutes, and steady load does not notice.
_RELEASED_BYTES = 1024 * 1024
_ASSIGNMENT = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"


def build_bootstrap(options: EnvoyOptions) -> Block:
    """Return the whole configuration; it refers to no other file but those of TLS and `eds`.

    Raises:
        ValueError: The options contradict each other.
    """
    bootstrap: Block = {
        # Envoy wants a name of itself where it watches a file.
        "node": {"id": "modelplane", "cluster": "modelplane"},
        "static_resources": {
            "listeners": [build_listener(options)],
            "clusters": [
                build_control_plane(options.control_plane),
                build_workers(options.workers, options.worker_tls, options.eds),
            ],
        },
        "memory_allocator_manager": {
            "bytes_to_release": _RELEASED_BYTES,
            "memory_release_interval": "1s",
        },
        **build_overload(options.max_connections, options.max_heap_mib),
    }
    if options.admin:
        bootstrap["admin"] = {"address": build_address(options.admin)}
    return bootstrap


def render(options: EnvoyOptions) -> str:
    """Return the bootstrap as JSON, which Envoy reads like YAML."""
    return json.dumps(build_bootstrap(options), indent=1)


def render_secret(tls: Tls) -> str:
    """Return the file that Envoy watches for the certificate of the public port."""
    return json.dumps({"resources": [build_secret(tls)]}, indent=1)


def render_workers(addresses: Sequence[Address]) -> str:
    """Return the file that Envoy watches for the addresses of the workers."""
    return json.dumps(
        {"resources": [{"@type": _ASSIGNMENT, **build_assignment(WORKERS, addresses)}]}
    )
