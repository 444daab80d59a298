"""Settings of the control plane, each with its default beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modelplane.adapters.shared.rpc.tls import TlsFiles, check_loopback, tls_files
from modelplane.adapters.shared.settings import environment, load, setting


@dataclass(frozen=True)
class Settings:
    """Run the control plane."""

    data_dir: str = setting(".modelplane", "directory of the database file and the master key")
    database_url: str = setting(
        "", "sqlite:// or postgresql:// URL; empty: a file in the data directory"
    )
    control_plane_listen: str = setting("127.0.0.1:9090", "host:port of the public API over gRPC")
    snapshot_listen: str = setting("127.0.0.1:9091", "host:port of the workers' watch streams")
    control_plane_metrics_listen: str = setting("127.0.0.1:9092", "host:port of the metrics page")
    admin_token: str = setting("", "token of the administrator", secret=True)
    admin_user: str = setting("admin", "name of the administrator")
    master_key: str = setting(
        "",
        "base64 of the 32-byte master keys that wrap all secrets, with commas; the first is the "
        "current one",
        secret=True,
    )
    master_key_kms: str = setting(
        "", "ARN of a key in AWS KMS that is the master key; several with commas, current one first"
    )
    lost_master_keys: str = setting(
        "",
        "identifiers of master keys that are lost for good, with commas; what they sealed must be "
        "put again",
    )
    secret_stores: str = setting(
        "", "JSON of the scopes that other stores keep: scope -> {backend, ...}", secret=True
    )
    secret_poll_seconds: float = setting(
        30.0, "seconds after which secrets of other stores are read again"
    )
    tls_ca: str = setting(
        "", "CA of the certificates by which the planes know each other (PEM file)"
    )
    tls_cert: str = setting("", "own certificate for connections between the planes (PEM file)")
    tls_key: str = setting("", "private key of that certificate (PEM file)")
    prepare_timeout_seconds: float = setting(
        10.0, "seconds that workers have to acknowledge a new configuration"
    )
    reconnect_grace_seconds: float = setting(
        3.0, "seconds after a restart in which workers may reconnect before an update goes on"
    )
    launcher_pool: str = setting("default", "pool of machines that replicas of models run in")
    deploy_seconds: float = setting(
        1080.0, "seconds that hosted models have to be fetched, built and started in an update"
    )
    start_deadline_seconds: float = setting(
        600.0, "seconds that a replica of a model may take to start"
    )
    calibration_seconds: float = setting(
        10.0,
        "seconds for which it is measured, at its first start, what a model does whose throughput "
        "is provisioned; 0: it is estimated",
    )
    evaluation_seconds: float = setting(597.0, "seconds that a model may take for one request")
    scale_down_seconds: float = setting(
        300.0, "seconds that fewer replicas of a model must do before there are fewer"
    )
    scale_to_zero_seconds: float = setting(
        1800.0, "seconds without a request after which a model that may be at zero replicas is"
    )
    own_addresses: str = setting(
        "",
        "host:port of the parts of this deployment, with commas, which are never upstreams; "
        "`modelplane up` tells its own",
    )
    allowed_upstreams: str = setting(
        "", "networks, addresses and host names inside your network that may serve models"
    )
    registry: str = setting(
        "",
        "registry of the models that are hosted here: mlflow:http://HOST:PORT, "
        "unity-catalog:http://HOST:PORT or directory:/PATH; empty: none are",
    )
    registry_authorization: str = setting(
        "", "credential for that registry: `bearer TOKEN` or `basic USER:PASSWORD`", secret=True
    )
    foundation_models: str = setting(
        "",
        "TOML files of the foundation models that there are, with commas; `default`: what needs "
        "nothing but packages; empty: there are none",
    )
    workload_types: str = setting(
        "",
        "JSON file of what one replica of each workload type may use; empty: CPU (1 GiB), "
        "CPU_MEDIUM (4 GiB) and CPU_LARGE (8 GiB)",
    )
    tables_root: str = setting(
        "",
        "directory of the payload tables, or URL of an object store: s3://, gs:// or az://, where "
        "a payload writer writes them; empty: there are none",
    )
    safety_judge: str = setting(
        "",
        "endpoint that judges for the guardrail 'safety' where an endpoint names no judge, and how "
        "it is asked, such as guard:llama_guard (default), guard:verdict; empty: none does",
    )
    topics_judge: str = setting(
        "",
        "endpoint that judges for the guardrail 'valid_topics' where an endpoint names no judge: "
        "any that chats; empty: none does",
    )
    max_endpoints: int = setting(20_000, "number of endpoints that there may be")
    max_endpoints_per_creator: int = setting(
        200, "number of endpoints that somebody who is no administrator may have made"
    )
    keep_versions: int = setting(
        200, "number of versions of an endpoint's configuration that are kept"
    )
    keep_events: int = setting(10_000, "number of changes that a worker may be behind and resume")
    oidc_issuers: str = setting(
        "[]",
        "JSON list of outside issuers of JWTs: issuer, audiences, principal_claim (default: sub); "
        "to sign in to the pages with: client_id, client_secret_env, scopes, label",
    )
    audit_retention_days: int = setting(365, "days that the audit log is kept")
    usage_retention_days: int = setting(90, "days that usage is kept")
    usage_lost_seconds: float = setting(
        600.0, "seconds without a sign of a worker after which its queries count as lost"
    )
    log_level: str = setting("info", "debug, info, warning or error")
    drain_seconds: float = setting(30.0, "seconds that calls in flight may take at a stop")

    @property
    def url(self) -> str:
        """The database URL in force."""
        return self.database_url or f"sqlite:///{Path(self.data_dir) / 'modelplane.db'}"

    @property
    def tls(self) -> TlsFiles | None:
        """Files for connections from workers; None for plaintext on this machine alone.

        Raises:
            ValueError: Workers would be let in without certificates from elsewhere.
            OSError: A file cannot be read.
        """
        files = tls_files(self.tls_ca, self.tls_cert, self.tls_key)
        if files is None:
            check_loopback(self.snapshot_listen, "MODELPLANE_SNAPSHOT_LISTEN")
        return files


def load_settings(argv: Sequence[str], program: str = "modelplane control-plane") -> Settings:
    """Return the settings given by `argv` and the environment; `program` is what help is of."""
    return load(Settings, program, argv, environment())
