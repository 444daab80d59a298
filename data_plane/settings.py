"""Settings of a worker, each with its default beside it."""

import os
import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace

from modelplane.adapters.shared.rpc.control_link import link_files, parse_targets
from modelplane.adapters.shared.rpc.tls import TlsFiles
from modelplane.adapters.shared.settings import environment, load, setting

# What of a call is the longest that any payload table gets.
MAX_PAYLOAD_BYTES = 10 << 20


@dataclass(frozen=True)
class Settings:
    """Run a data-plane worker."""

    control_plane: str = setting(
        "127.0.0.1:9091", "gRPC target(s) of the watch service, comma separated"
    )
    worker_listen: str = setting(
        "127.0.0.1:9100", "unix:PATH or host:port on which Envoy reaches the worker (HTTP/1.1)"
    )
    worker_metrics_listen: str = setting("127.0.0.1:9101", "host:port of the metrics page")
    tls_ca: str = setting(
        "", "CA of the certificates by which the planes know each other (PEM file)"
    )
    tls_cert: str = setting("", "own certificate for connections between the planes (PEM file)")
    tls_key: str = setting("", "private key of that certificate (PEM file)")
    worker_id: str = setting("", "identifier of the worker; empty: host, process and chance")
    request_timeout_seconds: float = setting(
        300.0, "seconds until an answer, or the first chunk of a stream, must be there"
    )
    stream_idle_seconds: float = setting(120.0, "seconds between two chunks of a stream")
    hold_seconds: float = setting(
        50.0, "seconds for which a request waits for a replica of a hosted model"
    )
    hold_max_mib: int = setting(64, "MiB that all requests that wait so may take")
    evaluation_seconds: float = setting(
        597.0, "seconds that a hosted model may take for one request"
    )
    stream_seconds: float = setting(3600.0, "seconds that a whole stream may take")
    bodies_max_mib: int = setting(
        512, "MiB that large requests under way may take, of which one caller has half at most"
    )
    circuit_failures: int = setting(
        5, "failures in a row after which an upstream is left alone for some seconds; 0: never"
    )
    own_addresses: str = setting(
        "",
        "host:port of the parts of this deployment, with commas, which are never upstreams; "
        "`modelplane up` tells its own",
    )
    allowed_upstreams: str = setting(
        "", "networks, addresses and host names inside your network that may serve models"
    )
    upstream_origins: str = setting(
        "", "ORIGIN=ORIGIN pairs, comma separated: what to connect to in a provider's place"
    )
    limits_when_away: str = setting(
        "continue",
        "limited queries while no control plane answers: continue (at the last minutes' rate), "
        "refuse or allow",
    )
    limits_away_seconds: float = setting(
        300.0, "seconds for which to continue, before limited queries are refused"
    )
    journal_dir: str = setting(
        ".modelplane/journal", "directory of the journals of usage, for all workers on this disk"
    )
    journal_max_mib: int = setting(1024, "MiB that a worker's journal may take on the disk")
    payload_dir: str = setting(
        ".modelplane/payloads",
        "directory of what endpoints with a payload table were asked and have answered, until it "
        "is in the table; for all workers on this disk",
    )
    payload_max_mib: int = setting(1024, "MiB that all of that may take on the disk")
    payload_max_bytes: int = setting(
        1 << 20, "longest request, and longest answer, that a payload table gets, up to 10485760"
    )
    payload_seal_seconds: float = setting(
        30.0,
        "seconds after which rows of payload tables leave a worker, sooner when there are many",
    )
    otlp_endpoint: str = setting(
        "", "URL of an OpenTelemetry collector over gRPC, as http://127.0.0.1:4317; empty: none"
    )
    otlp_sampling_ratio: float = setting(
        1.0, "share of the traces that begin here which are told, from 0 to 1"
    )
    log_level: str = setting("info", "debug, info, warning or error")
    notice_seconds: float = setting(
        1.0, "seconds for which it still takes requests at a stop, until every Envoy has noticed"
    )
    drain_seconds: float = setting(30.0, "seconds that calls in flight may take at a stop")

    @property
    def targets(self) -> list[str]:
        """The watch services."""
        return parse_targets(self.control_plane)

    @property
    def tls(self) -> TlsFiles | None:
        """Files for connections to control planes; None for plaintext on this machine alone.

        Raises:
            ValueError: Configuration would be taken from elsewhere without certificates.
            OSError: A file cannot be read.
        """
        return link_files(self.targets, self.tls_ca, self.tls_cert, self.tls_key)

    @property
    def origins(self) -> dict[str, str]:
        """What to connect to by provider's origin.

        Raises:
            ValueError: The setting is malformed.
        """
        pairs = [pair.strip() for pair in self.upstream_origins.split(",") if pair.strip()]
        if wrong := [pair for pair in pairs if pair.count("=") != 1]:
            raise ValueError(f"MODELPLANE_UPSTREAM_ORIGINS: {wrong[0]!r} is not ORIGIN=ORIGIN.")
        return dict(pair.split("=") for pair in pairs)

    @property
    def payload_bytes(self) -> int:
        """Longest request, and longest answer, that a payload table gets.

        Raises:
            ValueError: It is too much.
        """
        if not 0 <= self.payload_max_bytes <= MAX_PAYLOAD_BYTES:
            raise ValueError(f"MODELPLANE_PAYLOAD_MAX_BYTES must be from 0 to {MAX_PAYLOAD_BYTES}.")
        return self.payload_max_bytes

    @property
    def collector(self) -> tuple[str, float] | None:
        """URL of the OpenTelemetry collector and the share of traces that it gets; None: none.

        Raises:
            ValueError: A setting is malformed.
        """
        if not self.otlp_endpoint:
            return None
        if not self.otlp_endpoint.startswith(("http://", "https://")):
            raise ValueError("MODELPLANE_OTLP_ENDPOINT must begin with http:// or https://.")
        if not 0 <= self.otlp_sampling_ratio <= 1:
            raise ValueError("MODELPLANE_OTLP_SAMPLING_RATIO must be from 0 to 1.")
        return self.otlp_endpoint, self.otlp_sampling_ratio


def load_settings(argv: Sequence[str]) -> Settings:
    """Return the settings given by `argv` and the environment."""
    return identified(load(Settings, "modelplane worker", argv, environment()))


def identified(settings: Settings) -> Settings:
    """Return settings with an identifier of the worker, which is made up if there is none."""
    if settings.worker_id:
        return settings
    generated = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    return replace(settings, worker_id=generated)
