"""What the user may choose for `modelplane up`; `deploy.command.up` reads it."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from modelplane.adapters.shared.settings import setting
from modelplane.deploy.envoy.options import (
    CORS_HELP,
    NO_UI_HELP,
    QUERIES_HELP,
    Queries,
    Tls,
    parse_origins,
    public_tls,
)

_MAX_PORT = 0xFFFF
_OWN_REGISTRY = "sqlite"
# First model of the catalogue that comes with modelplane.
LOCAL_MODEL = "databricks-smollm2-135m-instruct"
# Endpoint of what `custom_model/taxi_fares.py` registers.
CUSTOM_MODEL = "taxi-fare"


class UpError(Exception):
    """The deployment cannot be started; the text is one line for the user."""


@dataclass(frozen=True)
class UpOptions:
    """Run everything on this machine."""

    data_dir: Path = setting(
        Path(".modelplane"), "directory of database, keys, tokens, logs and state"
    )
    host: str = setting("127.0.0.1", "address of the public port", variable=False)
    port: int = setting(8080, "public port; 0 picks a free one", variable=False)
    workers: int = setting(1, "number of data-plane workers", variable=False)
    database_url: str = setting("", "postgresql:// URL; empty: SQLite in the data directory")
    log_level: str = setting(
        "info",
        "debug, info, warning or error",
        choices=("debug", "info", "warning", "error"),
    )
    drain_seconds: float = setting(30.0, "seconds that requests in flight may go on at a stop")
    queries: Queries = setting(Queries.DIRECT, QUERIES_HELP, variable=False)
    local_model: bool = setting(False, f"also serve a small model as `{LOCAL_MODEL}`")  # noqa: FBT003 - like field()
    custom_model: bool = setting(
        False,  # noqa: FBT003 - like field()
        "also train a small custom model, register it in `models` in the data directory, and "
        f"serve it as `{CUSTOM_MODEL}`; not where `--registry` is given",
    )
    no_hosting: bool = setting(False, "run no models: no launcher is started")  # noqa: FBT003 - like field()
    registry: str = setting(
        "",
        "where models are registered: sqlite (a registry of its own), mlflow:URL, "
        "unity-catalog:URL or directory:PATH; empty: nowhere",
    )
    tables_root: str = setting(
        "",
        "where payload tables are written: a directory, or s3://, gs:// or az://; empty: `tables` "
        "in the data directory, if 'modelplane[tables]' is installed",
    )
    started_at: float = setting(
        0.0,
        "Unix time at which what led to this start began: the time to the first answer counts from "
        "then; 0: now",
        variable=False,
    )
    cors_origins: tuple[str, ...] = setting((), CORS_HELP, variable=False, parse=parse_origins)
    no_ui: bool = setting(False, NO_UI_HELP, variable=False)  # noqa: FBT003 - like field()
    open: bool = setting(
        False,  # noqa: FBT003 - like field()
        "open the user interface in a browser, where there is one",
        variable=False,
    )
    public_tls_cert: str = setting("", "certificate chain of the public port (PEM)", variable=False)
    public_tls_key: str = setting("", "private key of the public port (PEM)", variable=False)
    admin_token: str = setting(
        "", "token of the administrator; empty: one is kept in the data directory", secret=True
    )

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: One cannot be meant.
        """
        if not 0 <= self.port <= _MAX_PORT:
            raise ValueError(f"--port {self.port} is not a port")
        if self.workers < 1:
            raise ValueError("--workers must be 1 or more")
        if self.local_model and self.no_hosting:
            raise ValueError("--local-model is run by what --no-hosting leaves out; give one")
        if self.custom_model and self.no_hosting:
            raise ValueError("--custom-model is run by what --no-hosting leaves out; give one")
        if self.open and self.no_ui:
            raise ValueError("--open shows the pages that --no-ui leaves out; give one")
        public_tls(self.public_tls_cert, self.public_tls_key)
        if self.tables_root and not self.writes_tables:
            raise ValueError("--tables-root needs deltalake: pip install 'modelplane[tables]'")

    @property
    def writes_tables(self) -> bool:
        """Whether it writes payload tables."""
        return find_spec("deltalake") is not None

    @property
    def hosts(self) -> bool:
        """Whether it runs models."""
        return not self.no_hosting

    @property
    def runs_registry(self) -> bool:
        """Whether it runs a registry of its own."""
        return self.registry == _OWN_REGISTRY

    @property
    def serves_custom_model(self) -> bool:
        """Whether it serves a custom model of its own; models elsewhere are their owners'."""
        return self.custom_model and not self.registry

    @property
    def tls(self) -> Tls | None:
        """Certificate of the public port; None: it speaks plaintext."""
        return public_tls(self.public_tls_cert, self.public_tls_key)
