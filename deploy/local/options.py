"""What the user may choose for `modelplane up`; `deploy.command.cli` fills it in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from modelplane.deploy.envoy.options import Queries, Tls


class UpError(Exception):
    """The deployment cannot be started; the text is one line for the user."""


@dataclass(frozen=True, slots=True)
class UpOptions:
    """Options of one `modelplane up`.

    Attributes:
        data_dir: Directory of database, keys, tokens, logs and state.
        host: Address of the public port.
        port: Public port; 0 picks a free one.
        workers: Number of data-plane workers.
        database_url: Database of the control plane; empty for SQLite in the data directory.
        local_model: Whether to run a small model and register it as an endpoint.
        started_at: Unix time from which the time to the model's first answer is counted.
        log_level: `debug`, `info`, `warning` or `error`.
        drain_seconds: How long requests in flight may go on at a stop.
        queries: How the queries that are sent most reach a worker.
        tls: Certificate of the public port; None for plaintext.
        admin_token: The administrator's token; empty to keep one in the data directory.
        environment: Variables that the child processes inherit.
    """

    data_dir: Path
    host: str
    port: int
    workers: int
    database_url: str
    local_model: bool
    started_at: float
    log_level: str
    drain_seconds: float
    queries: Queries
    tls: Tls | None
    admin_token: str = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)
